import { randomId } from "./dom.js";

const firstDelay = 500;
const longestDelay = 15_000;
const patience = 30_000;

/** An error the gateway answered with; `code` is the most precise one it gave. */
export class GatewayError extends Error {
  constructor({ code, message, details } = {}) {
    super(typeof message === "string" ? message : "the gateway gave no reason");
    this.code = typeof details?.code === "string" ? details.code : String(code ?? "UNAVAILABLE");
  }
}

const lost = () =>
  new GatewayError({ code: "CONNECTION_LOST", message: "the connection to the gateway was lost" });

/**
 * One protocol client of the gateway that served this page, and of no other: the address
 * comes from the page's own origin, never from a parameter or from storage.
 *
 * `on.state(state, error?)` gets "connecting", "ready", "lost" or "refused" (the gateway said
 * no; nothing is tried again until `connect`). `on.event(event, payload)` gets broadcasts,
 * `on.gap()` says that some were missed.
 */
export function createGateway({ secret, on }) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const url = `${scheme}//${location.host}${location.pathname}`;
  const version = document.querySelector('meta[name="rclaw-version"]')?.content || "0";
  const instanceId = randomId();
  let socket;
  let waiting = new Map();
  let delay = firstDelay;
  let retry;
  let silence;
  let tick = patience;
  let lastSeq;
  let ready = false;

  function connectParams() {
    const given = secret();
    return {
      minProtocol: 3,
      maxProtocol: 4,
      client: {
        id: "webchat",
        mode: "webchat",
        version,
        platform: navigator.userAgentData?.platform || navigator.platform || "web",
        instanceId,
      },
      caps: ["tool-events"],
      role: "operator",
      scopes: ["operator.admin", "operator.read", "operator.write"],
      // The page cannot know which of the two this gateway is set to; it reads the one it wants.
      ...(given && { auth: { token: given, password: given } }),
    };
  }

  function send(method, params) {
    return new Promise((resolve, reject) => {
      const id = randomId();
      const timer = setTimeout(() => {
        waiting.delete(id);
        reject(
          new GatewayError({ code: "TIMEOUT", message: `the gateway did not answer ${method} in time` }),
        );
      }, patience);
      waiting.set(id, { resolve, reject, timer });
      socket.send(JSON.stringify({ type: "req", id, method, params }));
    });
  }

  function settle({ id, ok, payload, error }) {
    const entry = waiting.get(id);
    if (!entry) return;
    waiting.delete(id);
    clearTimeout(entry.timer);
    if (ok) entry.resolve(payload);
    else entry.reject(new GatewayError(error));
  }

  async function shakeHands(own) {
    try {
      const hello = await send("connect", connectParams());
      if (own !== socket) return;
      tick = hello?.policy?.tickIntervalMs || patience;
      delay = firstDelay;
      ready = true;
      listenForSilence();
      on.state("ready", undefined, hello);
    } catch (error) {
      if (own !== socket || error.code === "CONNECTION_LOST" || error.code === "TIMEOUT") {
        own.close();
        return;
      }
      drop();
      on.state("refused", error);
    }
  }

  function listenForSilence() {
    clearTimeout(silence);
    silence = setTimeout(() => {
      const silent = socket;
      ended(silent);
      silent?.close(4000, "tick timeout");
    }, tick * 2.5);
  }

  function event(own, { event: name, payload, seq }) {
    if (name === "connect.challenge") void shakeHands(own);
    if (typeof seq === "number") {
      const missed = lastSeq !== undefined && seq > lastSeq + 1;
      lastSeq = seq;
      if (missed) on.gap();
    }
    on.event(name, payload ?? {});
  }

  function message(own, data) {
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    if (ready) listenForSilence();
    if (frame?.type === "res") settle(frame);
    else if (frame?.type === "event") event(own, frame);
  }

  /** Forgets the socket; what it still says or does no longer matters. */
  function drop() {
    const old = socket;
    socket = undefined;
    ready = false;
    lastSeq = undefined;
    clearTimeout(silence);
    clearTimeout(retry);
    retry = undefined;
    const unanswered = waiting;
    waiting = new Map();
    for (const { reject, timer } of unanswered.values()) {
      clearTimeout(timer);
      reject(lost());
    }
    old?.close();
  }

  function ended(own) {
    if (own !== socket) return;
    drop();
    on.state("lost");
    // Spread out, so that a gateway coming back is not met by every tab at once.
    retry = setTimeout(connect, delay * (0.75 + Math.random() / 2));
    delay = Math.min(delay * 2, longestDelay);
  }

  function connect() {
    drop();
    on.state("connecting");
    const own = new WebSocket(url);
    socket = own;
    listenForSilence();
    own.addEventListener("message", ({ data }) => own === socket && message(own, data));
    own.addEventListener("close", () => ended(own));
  }

  return {
    connect,
    get ready() {
      return ready;
    },
    /** Now rather than at the end of the waiting time, when there is reason to hope. After a refusal nothing waits. */
    hurry() {
      if (retry !== undefined) connect();
    },
    request(method, params = {}) {
      return ready ? send(method, params) : Promise.reject(lost());
    },
  };
}
