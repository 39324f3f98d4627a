import { el, visible } from "./dom.js";

/** Whoever is about to press a button must not hit one that has just come up under the pointer. */
const settleMs = 700;
const longest = 120;

const isCard = (card) =>
  typeof card?.id === "string" &&
  [card.plugin, card.host, card.line].every((text) => typeof text === "string") &&
  Number.isInteger(card.port);

/** A stranger chose these words. Of a host the end says whose it is, so that is what stays. */
const shown = (text) => visible(text.length > longest ? `…${text.slice(-longest)}` : text);
const begun = (text) => visible(text.length > longest ? `${text.slice(0, longest)}…` : text);

const answers = [
  ["once", "Allow once"],
  ["always", "Always allow"],
  ["deny", "Deny"],
];

/** Hosts that plugins were refused, one card at a time, and the owner's answers. */
export function createAccess({ request, place, onProblem, onDone, say }) {
  let cards = [];
  let mayAnswer = false;
  let current;
  let settling;

  function show() {
    const [card] = cards;
    if (card?.id === current) return tell();
    current = card?.id;
    clearTimeout(settling);
    place.hidden = !card;
    place.replaceChildren(...(card ? draw(card) : []));
    if (!card) return;
    say(place.querySelector("p").textContent);
    settling = setTimeout(() => enable(true), settleMs);
  }

  function tell() {
    const more = place.querySelector(".more");
    if (more) more.textContent = cards.length > 1 ? `${cards.length - 1} more` : "";
  }

  function enable(isOn) {
    for (const button of place.querySelectorAll("button")) button.disabled = !isOn;
  }

  function draw(card) {
    const where = `${card.host.includes(":") ? `[${card.host}]` : card.host}:${card.port}`;
    const reason = typeof card.reason === "string" ? card.reason : "";
    return [
      el(
        "p",
        { dir: "ltr" },
        "Plugin ",
        el("b", {}, ...begun(card.plugin)),
        " wanted to reach ",
        el("b", {}, ...shown(where)),
        ...(reason ? [", but ", ...begun(reason)] : []),
        ".",
      ),
      el(
        "p",
        { class: "why", dir: "ltr" },
        "Always allow adds ",
        el("code", {}, ...shown(card.line)),
        " to ",
        el("code", {}, "plugins.entries.", ...begun(card.plugin), ".grants.net"),
        " of the configuration.",
      ),
      el(
        "div",
        { class: "row" },
        el("span", { class: "more" }, cards.length > 1 ? `${cards.length - 1} more` : ""),
        ...answers.map(([answer, label]) =>
          el(
            "button",
            { type: "button", class: "quiet", disabled: true, on: { click: () => void give(card, answer) } },
            label,
          ),
        ),
      ),
    ];
  }

  async function give({ id }, answer) {
    enable(false);
    try {
      await request("egress.resolve", { id, answer });
      drop(id);
    } catch (error) {
      // Somebody else was faster.
      if (error.code === "NOT_FOUND") return drop(id);
      onProblem(`The answer was not taken: ${error.message}`);
      if (current === id) enable(true);
    } finally {
      onDone();
    }
  }

  function drop(id) {
    cards = cards.filter((card) => card.id !== id);
    show();
  }

  return {
    /** Asks what is open. Without the right to answer there is nothing to see. */
    async refresh() {
      const answer = await request("egress.pending").catch(() => undefined);
      mayAnswer = answer !== undefined;
      cards = (Array.isArray(answer?.pending) ? answer.pending : []).filter(isCard);
      show();
    },
    /** Answers whether the event was one of these. */
    event(name, payload) {
      if (name === "egress.resolved") drop(payload?.id);
      else if (name === "egress.denied") {
        if (mayAnswer && isCard(payload) && !cards.some(({ id }) => id === payload.id)) cards.push(payload);
        show();
      } else return false;
      return true;
    },
  };
}
