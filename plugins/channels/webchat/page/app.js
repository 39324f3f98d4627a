import { createAccess } from "./access.js";
import { createComposer } from "./composer.js";
import { createConversation } from "./conversation.js";
import { el, stored } from "./dom.js";
import { createGateway } from "./gateway.js";
import { inline } from "./inline.js";
import { stamp } from "./messages.js";

const byId = (id) => document.getElementById(id);
const page = document.body;
const scroller = byId("scroller");

// The token: out of the address at once, kept for this tab only

/** Links carry it behind the hash, which browsers do not send. Everything else in the address is dropped. */
function takeToken() {
  const given =
    new URLSearchParams(location.hash.slice(1)).get("token") ??
    new URLSearchParams(location.search).get("token");
  if (location.hash || location.search) history.replaceState(null, "", location.pathname);
  if (given) stored.set("sessionStorage", "rclaw.token", given);
  return given ?? undefined;
}
let token = takeToken() ?? stored.get("sessionStorage", "rclaw.token");

addEventListener("hashchange", () => {
  const given = takeToken();
  if (!given) return;
  token = given;
  gateway.connect();
});

// Scrolling: stay at the end unless the reader has gone up

let following = true;
const atEnd = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
function jump() {
  following = true;
  scroller.scrollTop = scroller.scrollHeight;
}
scroller.addEventListener(
  "scroll",
  () => {
    following = atEnd();
    byId("latest").hidden = following;
  },
  { passive: true },
);
new ResizeObserver(() => following && jump()).observe(byId("log"));
byId("latest").addEventListener("click", () => {
  jump();
  composer.focus();
});

/** Lets content grow above what is being read without moving that. */
async function keepPlace(grow) {
  const below = scroller.scrollHeight - scroller.scrollTop;
  await grow();
  scroller.scrollTop = scroller.scrollHeight - below;
}

// Talk

function notice(text) {
  byId("notice").textContent = text ?? "";
  byId("notice").hidden = !text;
}

const conversation = createConversation({
  gateway: { request: (method, params) => gateway.request(method, params) },
  log: byId("log"),
  on: {
    change({ running, empty }) {
      composer.running = running;
      byId("welcome").hidden = !empty || page.dataset.state !== "ready";
    },
    grow: () => following && jump(),
    jump,
    keepPlace,
    problem: notice,
    giveBack: (text) => composer.giveBack(text),
    said(text) {
      byId("spoken").textContent = text.slice(0, 2000);
      void listSessions();
    },
  },
});

const composer = createComposer({
  onSend(text) {
    notice();
    conversation.send(text);
  },
  onStop: () => void conversation.stop(),
  recall: () => [...byId("log").querySelectorAll(".bubble")].at(-1)?.textContent ?? "",
  scroll: (pages) => scroller.scrollBy({ top: pages * scroller.clientHeight * 0.85 }),
});

const access = createAccess({
  request: (method, params) => gateway.request(method, params),
  place: byId("access"),
  onProblem: notice,
  onDone: () => composer.focus(),
  say: (text) => (byId("spoken").textContent = text),
});

// What the built-in guide can do as well as any model.
const ideas = ["List the files in the workspace", "Run `uname -a`", "What can you do?"];
byId("ideas").append(
  ...ideas.map((idea) =>
    el(
      "li",
      {},
      el(
        "button",
        {
          type: "button",
          class: "idea",
          on: { click: () => (conversation.send(idea), composer.focus()) },
        },
        ...inline(idea),
      ),
    ),
  ),
);

// Sessions and model

function titleOf({ key, label, derivedTitle, displayName }) {
  const name = label || derivedTitle?.replace(stamp, "") || displayName;
  const rest = key.replace(/^agent:[^:]+:/, "");
  if (rest === "main") return name ? `Main: ${name}` : "Main session";
  return name || rest.replaceAll(":", " ");
}

async function listSessions() {
  const answer = await gateway
    .request("sessions.list", { limit: 50, includeDerivedTitles: true })
    .catch(() => undefined);
  const rows = (answer?.sessions ?? []).filter((row) => typeof row?.key === "string");
  if (!rows.some((row) => row.key === conversation.key)) rows.unshift({ key: conversation.key });
  const options = rows.map((row) => el("option", { value: row.key }, titleOf(row).slice(0, 60)));
  const picker = byId("sessions");
  // Somebody may be choosing: the list stays as it is when nothing changed.
  if (options.map(({ text }) => text).join("\n") !== [...picker.options].map(({ text }) => text).join("\n"))
    picker.replaceChildren(...options);
  picker.value = conversation.key;
  byId("picker").hidden = rows.length < 2;
  const row = rows.find(({ key }) => key === conversation.key);
  return {
    model: row?.model ?? answer?.defaults?.model,
    provider: row?.modelProvider ?? answer?.defaults?.modelProvider,
  };
}

async function showModel(known) {
  const answers = await gateway
    .request("models.default")
    .catch(({ message }) => ({ ...known, reason: message }));
  const name = [answers.provider, answers.model].filter(Boolean).join("/");
  byId("model").textContent = name;
  byId("model").title = answers.reason ?? "";
  const reason = answers.reason ?? "";
  byId("why").textContent = name ? `Answers come from ${name}${reason && ` (${reason})`}.` : reason;
}

async function openSession(key) {
  stored.set("sessionStorage", "rclaw.session", key);
  await conversation.open(key);
  await showModel(await listSessions());
}

byId("sessions").addEventListener("change", ({ target }) => {
  notice();
  void openSession(target.value);
  composer.focus();
});

byId("fresh").addEventListener("click", () => {
  if (byId("log").childElementCount === 0) return composer.focus();
  byId("sure").returnValue = "no";
  byId("sure").showModal();
});
byId("sure").addEventListener("close", async () => {
  composer.focus();
  if (byId("sure").returnValue !== "yes") return;
  notice();
  if (conversation.running) await conversation.stop();
  try {
    await conversation.reset();
    byId("spoken").textContent = "New session.";
    await listSessions();
  } catch (error) {
    notice(`No new session was started: ${error.message}`);
  }
});

// Connection

const labels = {
  connecting: "Connecting",
  ready: "Connected",
  lost: "Reconnecting",
  refused: "Not connected",
};
let met = false;

async function welcome(hello) {
  notice();
  stored.set("sessionStorage", "rclaw.token", token);
  stored.set("sessionStorage", "rclaw.asked", undefined);
  if (met) return conversation.resume();
  met = true;
  const main = hello?.snapshot?.sessionDefaults?.mainSessionKey ?? "agent:main:main";
  await openSession(stored.get("sessionStorage", "rclaw.session") ?? main);
}

function whyRefused({ code, message }) {
  if (code === "AUTH_RATE_LIMITED") return "Too many wrong tokens. Wait five minutes and try again.";
  if (code.startsWith("AUTH_") || message.startsWith("unauthorized")) {
    return token ? "This token is not the gateway's. Check it and try again." : "";
  }
  if (code === "DEVICE_IDENTITY_REQUIRED" && !token) return "";
  if (message.startsWith("origin not allowed")) {
    return `The gateway does not accept pages from ${location.host}. Add ${location.origin} to gateway.controlUi.allowedOrigins.`;
  }
  return `The gateway said no: ${message}`;
}

function refused(error) {
  const given = token;
  byId("refused").textContent = whyRefused(error);
  token = undefined;
  stored.set("sessionStorage", "rclaw.token", undefined);
  // Asking without one again would only count as another wrong try.
  stored.set("sessionStorage", "rclaw.asked", "yes");
  if (given) byId("token").select();
  byId("token").focus();
}

function state(now, error, hello) {
  page.dataset.state = now;
  byId("connection").textContent = labels[now];
  byId("door").hidden = now !== "refused";
  byId("foot").hidden = now === "refused" || !(met || now === "ready");
  byId("fresh").hidden = now === "refused" || !(met || now === "ready");
  byId("log").hidden = now === "refused";
  if (now === "refused") byId("welcome").hidden = true;
  composer.connected = now === "ready";
  byId("sessions").disabled = byId("fresh").disabled = now !== "ready";
  if (now === "lost")
    notice(
      met ? "The connection to the gateway is lost. Trying again; nothing you sent is forgotten." : undefined,
    );
  if (now === "refused") refused(error);
  if (now !== "ready") return;
  void access.refresh();
  // A connection that comes back takes the focus from nobody.
  if (!document.activeElement?.closest("#log,.bar")) composer.focus();
  void welcome(hello);
}

const gateway = createGateway({
  secret: () => token,
  on: {
    state,
    event(name, payload) {
      if (name === "shutdown") notice("The gateway is stopping. The page reconnects when it is back.");
      else if (!access.event(name, payload)) conversation.event(name, payload);
    },
    gap() {
      void access.refresh();
      void conversation.resume();
    },
  },
});

byId("door").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim() || undefined;
  byId("token").value = "";
  byId("refused").textContent = "";
  gateway.connect();
});

addEventListener("online", () => gateway.hurry());
document.addEventListener(
  "visibilitychange",
  () => document.visibilityState === "visible" && gateway.hurry(),
);

// Theme

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () =>
  (document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";
const showTheme = () => byId("theme").setAttribute("aria-pressed", String(isDark()));
byId("theme").addEventListener("click", () => {
  const next = isDark() ? "light" : "dark";
  // What the system says anyway is not worth remembering: the page goes on following it.
  const own = next === (prefersDark.matches ? "dark" : "light") ? undefined : next;
  if (own) document.documentElement.dataset.theme = own;
  else delete document.documentElement.dataset.theme;
  stored.set("localStorage", "rclaw.theme", own);
  showTheme();
});
prefersDark.addEventListener("change", showTheme);
showTheme();

if (token === undefined && stored.get("sessionStorage", "rclaw.asked")) {
  state("refused", { code: "AUTH_TOKEN_MISSING", message: "unauthorized" });
} else gateway.connect();
