const tallest = 220;

/** The message field with its two buttons: send, or stop while an answer runs. */
export function createComposer({ onSend, onStop }) {
  const form = document.getElementById("composer");
  const input = document.getElementById("input");
  const send = document.getElementById("send");
  const stop = document.getElementById("stop");
  let running = false;
  let connected = false;

  function fit() {
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
  input.addEventListener("keydown", (event) => {
    // While an input method composes, Enter picks a candidate.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  stop.addEventListener("click", () => {
    onStop();
    input.focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !running || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    onStop();
    input.focus();
  });

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
