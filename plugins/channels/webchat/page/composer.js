import { stored } from "./dom.js";

const tallest = 220;
/** So much text fills the field at any width; measuring it, and the direction of its lines, would take longer than a key press may. */
const surelyFull = 10_000;
const draft = "rclaw.draft";

/** The message field with its two buttons: send, or stop while an answer runs. */
export function createComposer({ onSend, onStop, recall, scroll }) {
  const form = document.getElementById("composer");
  const input = document.getElementById("input");
  const send = document.getElementById("send");
  const stop = document.getElementById("stop");
  let running = false;
  let connected = false;

  function fit() {
    const isLong = input.value.length > surelyFull;
    input.style.unicodeBidi = isLong ? "normal" : "";
    if (isLong) {
      input.style.height = `${tallest}px`;
      return;
    }
    input.style.height = "auto";
    input.style.height = `${Math.min(input.scrollHeight, tallest)}px`;
  }

  function refresh() {
    const empty = input.value.trim() === "";
    stop.hidden = !running;
    send.hidden = running && empty;
    send.disabled = empty || !connected;
    fit();
  }

  function submit() {
    const text = input.value.trim();
    if (text === "" || !connected) return;
    input.value = "";
    refresh();
    onSend(text);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
    input.focus();
  });
  input.addEventListener("input", refresh);

  /** What a key does here; anything else is the browser's. */
  function act({ key, shiftKey, ctrlKey, metaKey, altKey }) {
    if (key === "Enter" && !shiftKey && !altKey) return submit;
    if (shiftKey || ctrlKey || metaKey || altKey) return undefined;
    if (key === "ArrowUp" && input.value === "") {
      return () => {
        input.value = recall();
        refresh();
      };
    }
    // The field itself has pages only when it is full.
    if (/^Page(?:Up|Down)$/.test(key) && input.offsetHeight < tallest)
      return () => scroll(key === "PageUp" ? -1 : 1);
    return undefined;
  }

  // While an input method composes, keys are its own; some browsers tell only by the code 229.
  const isComposing = (event) => event.isComposing || event.keyCode === 229;

  input.addEventListener("keydown", (event) => {
    const action = isComposing(event) ? undefined : act(event);
    if (!action) return;
    event.preventDefault();
    action();
  });
  stop.addEventListener("click", () => {
    onStop();
    input.focus();
  });
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || form.closest("[hidden]") || isComposing(event)) return;
    // Whoever types with the focus on nothing in particular means the message.
    const isText = /^\S$/u.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (isText && !event.target.closest("a,button,input,select,summary,textarea,[tabindex='0']"))
      input.focus();
    if (event.key !== "Escape" || !running) return;
    event.preventDefault();
    onStop();
    input.focus();
  });

  addEventListener("pagehide", () => stored.set("sessionStorage", draft, input.value || undefined));
  input.value = stored.get("sessionStorage", draft) ?? "";

  return {
    focus: () => input.focus({ preventScroll: true }),
    set running(value) {
      running = value;
      refresh();
    },
    set connected(value) {
      connected = value;
      refresh();
    },
    /** Gives text back to the person, before what they have typed meanwhile. */
    giveBack(text) {
      input.value = [text, input.value].filter(Boolean).join("\n\n");
      refresh();
    },
  };
}
