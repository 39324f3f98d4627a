import { isRclawError, type Provider } from "@rclaw/plugin-sdk";
import type { GatewayFor, ListedPlugin, Question } from "./gateway.ts";
import type { Ask } from "./session.ts";

export interface FlowOptions {
  readonly gateway: GatewayFor;
  readonly what: "setup" | "channels";
  /** A channel that was chosen before the wizard began. */
  readonly channel?: string | undefined;
  readonly workspace?: string | undefined;
  ready(provider: string): ReturnType<Provider["ready"]>;
  /** Told the id of a channel that was set up. */
  onChannel(id: string): void;
}

type Kind = "providers" | "channels";

const nothing = "";
const attempts = 3;
const maxOptions = 60;

/** What a person is asked, one step after the other. Nothing is stored before they have agreed. */
export async function runFlow(options: FlowOptions, ask: Ask): Promise<void> {
  const { gateway, what, workspace } = options;
  const kind: Kind = what === "channels" ? "channels" : "providers";
  await ask({ type: "note", ...welcome[kind] });
  const chosen = await choose(options, kind, ask);
  if (chosen) await setUp(options, kind, chosen, ask);
  if (workspace !== undefined && workspace.trim() !== "")
    await gateway.configure("agents.defaults.workspace", workspace.trim());
  if (chosen === undefined) await ask({ type: "note", title: "Done", message: "Nothing was changed." });
}

const welcome = {
  providers: {
    title: "Set up rclaw",
    message:
      "rclaw runs on your machine and answers with a model of your choice. You need a key from its provider; it is kept in a file of its own that only you can read.",
  },
  channels: {
    title: "Set up a channel",
    message:
      "A channel connects the assistant to a chat platform. Strangers who write get a code, and an answer only when you agree.",
  },
} as const;

async function choose(
  { gateway, channel }: FlowOptions,
  kind: Kind,
  ask: Ask,
): Promise<ListedPlugin | undefined> {
  const candidates: ListedPlugin[] = [];
  for (const plugin of await gateway.plugins()) {
    const offers = plugin.contributes[kind] ?? [];
    if (kind === "channels" && channel !== undefined && offers.includes(channel)) return plugin;
    if (offers.length === 0) continue;
    // What needs nothing is there already.
    if ((await questionsOf(gateway, plugin.id)).length > 0) candidates.push(plugin);
  }
  if (channel !== undefined) throw new Error(`there is no channel "${channel}"`);
  const id = await ask({
    type: "select",
    message: kind === "providers" ? "Whose models should answer?" : "Which platform?",
    options: [
      ...candidates.map(({ id, name, description }) => ({ value: id, label: name, hint: description })),
      { value: nothing, label: "Leave it as it is" },
    ],
    initialValue: candidates[0]?.id ?? nothing,
  });
  return candidates.find((plugin) => plugin.id === id);
}

/** The credentials, and whatever else the plugin's manifest gives a title to. */
async function questionsOf(gateway: GatewayFor, id: string): Promise<readonly Question[]> {
  const { questions, manifest } = await gateway.plan(id);
  const titled = Object.entries(manifest.configSchema?.properties ?? {}).flatMap(([key, property]) => {
    const { title, description, type } = property;
    if (type !== "string" || typeof title !== "string" || questions.some((item) => item.key === key))
      return [];
    if (property["x-ask"] === false || property["writeOnly"] === true) return [];
    const hint = typeof description === "string" && { description };
    return [{ key, title, ...hint, secret: false, isSet: false }];
  });
  return [...titled, ...questions];
}

async function setUp(options: FlowOptions, kind: Kind, plugin: ListedPlugin, ask: Ask): Promise<void> {
  const { gateway, onChannel } = options;
  for (let attempt = 1; ; attempt++) {
    const values = await answersTo(await questionsOf(gateway, plugin.id), ask);
    const agreed = await ask({
      type: "confirm",
      message: `Store this and switch ${plugin.name} on?`,
      initialValue: true,
    });
    if (agreed !== true) {
      await ask({ type: "note", title: "Done", message: "Nothing was changed." });
      return;
    }
    try {
      await gateway.add(plugin.id, values);
      break;
    } catch (error) {
      if (!isRclawError(error) || attempt === attempts) throw error;
      await ask({ type: "note", title: "That did not work", message: `${error.message}. Please try again.` });
    }
  }
  if (kind === "providers") return chooseModel(options, plugin, ask);
  for (const id of plugin.contributes.channels ?? []) onChannel(id);
  await ask({
    type: "note",
    title: "Done",
    message: `${plugin.name} is set up. Write to the assistant there; it answers with a code, which lets you in.`,
  });
}

async function answersTo(questions: readonly Question[], ask: Ask): Promise<Record<string, string>> {
  const values: Record<string, string> = {};
  for (const { key, title, description, secret, isSet } of questions) {
    const answer = await ask({
      type: "text",
      title,
      message: [title, description].filter(Boolean).join(": "),
      ...(isSet && { placeholder: "leave empty to keep what is stored" }),
      ...(secret && { sensitive: true }),
    });
    if (typeof answer === "string" && answer.trim() !== "") values[key] = answer.trim();
  }
  return values;
}

async function chooseModel({ gateway, ready }: FlowOptions, plugin: ListedPlugin, ask: Ask): Promise<void> {
  const providers = plugin.contributes.providers ?? [];
  const states = await Promise.all(providers.map((id) => ready(id)));
  if (!states.some(({ ok }) => ok)) {
    const reason = states.map((state) => state.reason).join("; ");
    const message = `${plugin.name} is switched on, but cannot answer yet: ${reason}`;
    await ask({ type: "note", title: "Not ready", message });
    return;
  }
  const models = (await gateway.models()).filter(({ provider }) => providers.includes(provider));
  const model = await ask({
    type: "select",
    message: "Which model should answer?",
    options: [
      { value: nothing, label: "Let rclaw choose" },
      ...models.slice(0, maxOptions).map(({ id, name, provider }) => ({
        value: `${provider}/${id}`,
        label: name || id,
        hint: `${provider}/${id}`,
      })),
    ],
    initialValue: nothing,
  });
  if (typeof model === "string" && model !== nothing) await gateway.configure("agents.defaults.model", model);
  await ask({
    type: "note",
    title: "Done",
    message: `${plugin.name} is set up. Say hello to your assistant.`,
  });
}
