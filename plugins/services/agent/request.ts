import { type Block, type CompletionRequest, type Logger, RclawError, type Run } from "@rclaw/plugin-sdk";
import { type ChatCommand, parseCommand } from "./commands.ts";
import { cleanInput, inWordsOf, type Speaker } from "./text.ts";

export type Thinking = NonNullable<CompletionRequest["thinking"]>;
type Image = Extract<Block, { type: "image" }>;

export interface Target {
  readonly channel: string;
  readonly accountId: string;
  readonly to: string;
  readonly threadId?: string;
}

/** What a run is to do, read from the params it was accepted with; after a restart they are all there is. */
export interface RunRequest {
  readonly text: string;
  readonly images: readonly Image[];
  readonly command: ChatCommand | undefined;
  readonly thinking: Thinking | undefined;
  readonly timeoutMs: number | undefined;
  /** Where the answer goes besides the protocol's events. */
  readonly target: Target | undefined;
  readonly wantsDelivery: boolean;
  /** The channel the message came from; undefined for a client of the protocol. */
  readonly channel: string | undefined;
  readonly extraSystemPrompt: string | undefined;
  readonly model: { readonly provider?: string; readonly model?: string } | undefined;
  /** Who wrote it, when it came over a channel. */
  readonly sender: Speaker | undefined;
  /** Others write into this conversation too, so the model has to be told who speaks. */
  readonly isShared: boolean;
  /** Acts for the owner, as was found when it was accepted. */
  readonly isOwner: boolean;
  /** The text is the gateway's own: a wake-up, not a person's message. */
  readonly isSystemEvent: boolean;
}

type Params = Readonly<Record<string, unknown>>;

export const thinkingLevels: readonly string[] = ["off", "minimal", "low", "medium", "high", "xhigh"];
const maxAttachmentBytes = 5 * 1_024 * 1_024;
/** A message is one line of its transcript, of 8 MiB at most; the rest is for what is written around it. */
const maxMessageBytes = 7.75 * 1_024 * 1_024;

export function requestOf(
  { method, params, principal, sessionKey }: Pick<Run, "method" | "params" | "principal" | "sessionKey">,
  log: Logger,
): RunRequest {
  const fromPlugin = isFromPlugin(principal);
  const text = cleanInput(string(params, method === "wake" ? "text" : "message") ?? "", method);
  const images = imagesOf(params["attachments"], method, log);
  if (text.trim() === "" && images.length === 0)
    throw new RclawError("INVALID_REQUEST", inWordsOf(method, nothingIn(params)));
  // Accepting it would be a promise to keep it.
  if (isTooLong(text, images))
    throw invalid(method, "the message is larger than 7.75 MiB with its attachments; send less at once");
  const model = {
    ...field("provider", string(params, "provider")),
    ...field("model", string(params, "model")),
  };
  const timeout = method === "chat.send" ? number(params, "timeoutMs") : seconds(number(params, "timeout"));
  return {
    text,
    images,
    command: method === "wake" ? undefined : parseCommand(text),
    thinking: thinkingOf(params["thinking"], method),
    timeoutMs: timeout && timeout > 0 ? timeout : undefined,
    target: targetOf(method, params),
    wantsDelivery: params["deliver"] === true,
    channel: fromPlugin ? string(params, "channel") : undefined,
    extraSystemPrompt: string(params, "extraSystemPrompt"),
    model: Object.keys(model).length > 0 ? model : undefined,
    sender: fromPlugin ? senderOf(params) : undefined,
    isShared: !/^agent:[^:]+:(?:[^:]+:){0,2}direct:/.test(sessionKey),
    isOwner: typeof params["isOwner"] === "boolean" ? params["isOwner"] : !fromPlugin,
    isSystemEvent: method === "wake",
  };
}

/**
 * A run's params as they are stored: who asked for it is decided once, when it comes in, and
 * a restart must not decide again. Written down only where the principal does not say it.
 */
export function withOwner(
  params: Params,
  { principal, isOwner }: { readonly principal: string; readonly isOwner: boolean },
): Params {
  return isOwner === !isFromPlugin(principal) ? params : { ...params, isOwner };
}

export const isFromPlugin = (principal: string): boolean => principal.startsWith("plugin:");

function senderOf(params: Params): Speaker | undefined {
  const { id, name } = (params["sender"] ?? {}) as { id?: string; name?: string };
  const channel = string(params, "channel");
  if (id === undefined || channel === undefined) return undefined;
  return { id, name, channel, place: string(params, "groupChannel") ?? string(params, "groupId") };
}

export function asThinking(level: unknown): Thinking | undefined {
  return typeof level === "string" && thinkingLevels.includes(level) ? (level as Thinking) : undefined;
}

function thinkingOf(level: unknown, method: string): Thinking | undefined {
  if (level === undefined || level === "") return undefined;
  const known = asThinking(typeof level === "string" ? level.trim().toLowerCase() : level);
  if (!known)
    throw invalid(
      method,
      `invalid thinking level ${JSON.stringify(level)} (use ${thinkingLevels.join("|")})`,
    );
  return known;
}

function targetOf(method: string, params: Params): Target | undefined {
  if (params["deliver"] !== true) return undefined;
  const chat = method === "chat.send";
  const channel = chat
    ? string(params, "originatingChannel")
    : (string(params, "replyChannel") ?? string(params, "channel"));
  const to = chat ? string(params, "originatingTo") : (string(params, "replyTo") ?? string(params, "to"));
  const account = chat
    ? string(params, "originatingAccountId")
    : (string(params, "replyAccountId") ?? string(params, "accountId"));
  const threadId = string(params, chat ? "originatingThreadId" : "threadId");
  if (!channel || !to || channel === "webchat" || channel === "last") return undefined;
  return { channel, to, accountId: account ?? "default", ...field("threadId", threadId) };
}

function imagesOf(attachments: unknown, method: string, log: Logger): Image[] {
  if (!Array.isArray(attachments)) return [];
  return attachments.flatMap((item: unknown): Image[] => {
    const { content, mimeType, fileName } = (typeof item === "object" && item !== null ? item : {}) as Params;
    if (typeof content !== "string") throw invalid(method, "attachment content must be a base64 string");
    const [, urlType, data = content] = /^data:([^;,]+);base64,(.*)$/s.exec(content) ?? [];
    const type = urlType ?? (typeof mimeType === "string" ? mimeType : "");
    const name = typeof fileName === "string" ? fileName : "attachment";
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(data)) throw invalid(method, `${name}: content is not base64`);
    if ((data.length * 3) / 4 > maxAttachmentBytes + 2)
      throw invalid(method, `${name}: larger than ${maxAttachmentBytes} bytes`);
    if (!isPicture(type)) {
      log.warn(
        { mimeType: type, fileName: name },
        "only pictures can be attached; this attachment was left out",
      );
      return [];
    }
    return [
      { type: "image", mimeType: pictureType(data) ?? type.toLowerCase().replace("jpg", "jpeg"), data },
    ];
  });
}

function isTooLong(text: string, images: readonly Image[]): boolean {
  const room = images.reduce((left, { data }) => left - data.length, maxMessageBytes);
  // One character becomes six at most.
  return text.length * 6 > room && Buffer.byteLength(JSON.stringify(text)) > room;
}

const isPicture = (type: string): boolean => /^image\/(?:png|jpe?g|gif|webp)$/i.test(type);

/** What the bytes say: a provider refuses a picture with another one's name, and with it every later message. */
function pictureType(data: string): string | undefined {
  const head = Buffer.from(data.slice(0, 24), "base64").toString("latin1");
  if (head.startsWith("\x89PNG")) return "image/png";
  if (head.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (/^GIF8[79]a/.test(head)) return "image/gif";
  return /^RIFF[^]{4}WEBP/.test(head) ? "image/webp" : undefined;
}

function nothingIn({ attachments }: Params): string {
  return Array.isArray(attachments) && attachments.length > 0
    ? "only pictures (PNG, JPEG, GIF, WebP) can be attached; write something about the rest"
    : "message or attachment required";
}

export function invalid(method: string, what: string): RclawError {
  return new RclawError("INVALID_REQUEST", `invalid ${method} params: ${what}`);
}

function string(params: Params, key: string): string | undefined {
  const value = params[key];
  return typeof value === "string" && value !== "" ? value : undefined;
}

function number(params: Params, key: string): number | undefined {
  const value = params[key];
  return typeof value === "number" ? value : undefined;
}

const seconds = (value: number | undefined): number | undefined =>
  value === undefined ? undefined : value * 1_000;

function field<Name extends string>(
  name: Name,
  value: string | undefined,
): { readonly [Key in Name]?: string } {
  return (value === undefined ? {} : { [name]: value }) as { readonly [Key in Name]?: string };
}
