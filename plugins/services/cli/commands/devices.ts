import { type CommandContext, RclawError } from "@rclaw/plugin-sdk";
import { agrees } from "../consent.ts";
import { hint } from "../hint.ts";
import { named, parse, subcommand, UsageError } from "../parse.ts";
import { ago, printable, printJson, table } from "../print.ts";
import { type Fields, fields, number, rows, text, texts } from "../shape.ts";

const subcommands = ["list", "approve", "reject", "remove", "rotate", "revoke"] as const;

const short = (id: string): string => id.slice(0, 12);
/** Its own words, before anybody agreed to it: one line and not a long one. */
const nameOf = (device: Fields): string =>
  (text(device["displayName"]) || text(device["clientId"], "unnamed")).replaceAll(/\s+/g, " ").slice(0, 60);
const rolesOf = (device: Fields): readonly string[] =>
  texts(device["roles"]).length > 0 ? texts(device["roles"]) : [text(device["role"])].filter(Boolean);
const scopesOf = (device: Fields): string =>
  texts(device["scopes"])
    .map((scope) => scope.replace(/^operator\./, ""))
    .join(", ") || "-";
const whereOf = (device: Fields): string => text(device["remoteIp"], "this machine");

interface Devices {
  readonly pending: readonly Fields[];
  readonly paired: readonly Fields[];
}

async function devices(context: CommandContext): Promise<Devices> {
  const answer = fields(await context.call("device.pair.list", {}));
  return { pending: rows(answer["pending"]), paired: rows(answer["paired"]) };
}

/** The one whose id begins like that: nobody types 64 digits. */
function pick(among: readonly Fields[], key: string, given: string, what: string): Fields {
  const exact = among.find((row) => row[key] === given);
  const near = among.filter((row) => text(row[key]).startsWith(given));
  const found = exact ?? (near.length === 1 ? near[0] : undefined);
  if (found) return found;
  const problem = near.length > 1 ? `more than one ${what} begins with` : `there is no ${what}`;
  throw new RclawError("NOT_FOUND", `${problem} "${given}". See: rclaw devices list`);
}

/** When it was last let in, or, by a gateway that does not say, when any of its tokens was last used. */
function lastSeen(device: Fields): number | undefined {
  const times = rows(device["tokens"]).map((token) => number(token["lastUsedAtMs"]) ?? 0);
  return Math.max(number(device["lastSeenAtMs"]) ?? 0, ...times) || undefined;
}

function showPending(context: CommandContext, pending: readonly Fields[]): void {
  const body = pending.map((row) => [
    text(row["requestId"]),
    short(text(row["deviceId"])),
    nameOf(row),
    text(row["platform"]),
    rolesOf(row).join(", "),
    whereOf(row),
    ago(number(row["ts"])),
    `${scopesOf(row)}${row["isRepair"] === true ? " (known, asks anew)" : ""}`,
  ]);
  const headings = ["REQUEST", "DEVICE", "NAME", "PLATFORM", "ROLE", "FROM", "ASKED", "WANTS"];
  context.out(table(context, headings, body));
  const which = pending.length === 1 ? "" : ` ${printable(text(pending[0]?.["requestId"]))}`;
  context.note(hint(`Next: rclaw devices approve${which}`));
}

async function list(context: CommandContext, args: readonly string[]): Promise<number> {
  named(parse(args, {}).words, [], "devices list");
  const { pending, paired } = await devices(context);
  if (context.json) {
    printJson(context, { pending, paired });
    return 0;
  }
  if (pending.length > 0) showPending(context, pending);
  if (paired.length === 0) context.note("No device is paired.");
  else {
    const body = paired.map((device) => [
      short(text(device["deviceId"])),
      nameOf(device),
      text(device["platform"]),
      rolesOf(device).join(", "),
      whereOf(device),
      ago(lastSeen(device)),
      scopesOf(device),
    ]);
    const headings = ["DEVICE", "NAME", "PLATFORM", "ROLE", "FROM", "LAST SEEN", "MAY"];
    context.out(`${pending.length > 0 ? "\n" : ""}${table(context, headings, body)}`);
  }
  return 0;
}

/** Without an id it is clear who is meant only when one waits. */
async function requestOf(
  context: CommandContext,
  words: readonly string[],
  latest: boolean,
  what: string,
): Promise<Fields> {
  if (words.length > 1) throw new UsageError(`${what} takes one request, and "${words[1]}" is a second word`);
  if (latest && words[0] !== undefined) throw new UsageError("--latest and a request exclude each other");
  const { pending } = await devices(context);
  if (words[0] !== undefined) return pick(pending, "requestId", words[0], "request");
  const [newest] = [...pending].sort((a, b) => (number(b["ts"]) ?? 0) - (number(a["ts"]) ?? 0));
  if (!newest) throw new RclawError("NOT_FOUND", "no device waits for an answer");
  if (pending.length === 1 || latest) return newest;
  throw new UsageError(`${pending.length} devices wait; say which one, or add --latest`);
}

async function approve(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { latest: { type: "boolean" } });
  const request = await requestOf(context, flags.words, flags.flag("latest"), "devices approve");
  const result = await context.call("device.pair.approve", { requestId: text(request["requestId"]) });
  if (context.json) printJson(context, result);
  else {
    const may = rolesOf(request).includes("node") ? "serve as a node" : `use: ${scopesOf(request)}`;
    context.note(
      printable(`${nameOf(request)} (${short(text(request["deviceId"]))}) is paired and may ${may}.`),
    );
    context.note("It comes in with its next attempt.");
  }
  return 0;
}

async function reject(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { latest: { type: "boolean" } });
  const request = await requestOf(context, flags.words, flags.flag("latest"), "devices reject");
  const result = await context.call("device.pair.reject", { requestId: text(request["requestId"]) });
  if (context.json) printJson(context, result);
  else context.note(printable(`${nameOf(request)} was turned away. It may ask again.`));
  return 0;
}

async function remove(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { yes: { type: "boolean", short: "y" } });
  const { device: given } = named(flags.words, ["device"], "devices remove");
  const device = pick((await devices(context)).paired, "deviceId", given, "device");
  const who = `${nameOf(device)} (${short(text(device["deviceId"]))})`;
  if (!flags.flag("yes") && !(await agrees(context, `Forget ${who} and close its connections`))) return 1;
  const result = await context.call("device.pair.remove", { deviceId: text(device["deviceId"]) });
  if (context.json) printJson(context, result);
  else context.note(printable(`${who} is forgotten. To come back it has to be paired again.`));
  return 0;
}

/** The device and the role whose token is meant; a role is needed only where there are several. */
async function tokenOf(
  context: CommandContext,
  given: string,
  role: string | undefined,
): Promise<{ deviceId: string; role: string; device: Fields }> {
  const device = pick((await devices(context)).paired, "deviceId", given, "device");
  const roles = rows(device["tokens"]).map((token) => text(token["role"]));
  const chosen = role ?? (roles.length === 1 ? roles[0] : undefined);
  if (chosen === undefined)
    throw new UsageError(
      roles.length === 0
        ? `${nameOf(device)} has no token`
        : `${nameOf(device)} has several tokens; add --role ${roles.join(" or --role ")}`,
    );
  return { deviceId: text(device["deviceId"]), role: chosen, device };
}

async function rotate(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { role: { type: "string" }, scope: { type: "string", multiple: true } });
  const { device: given } = named(flags.words, ["device"], "devices rotate");
  const { deviceId, role, device } = await tokenOf(context, given, flags.value("role"));
  const scopes = flags.values("scope").map((name) => (name.includes(".") ? name : `operator.${name}`));
  const params = { deviceId, role, ...(scopes.length > 0 && { scopes }) };
  const result = fields(await context.call("device.token.rotate", params));
  if (context.json) printJson(context, result);
  else {
    context.note(
      printable(`The old token of ${nameOf(device)} (${role}) is worth nothing now. The new one:`),
    );
    context.out(`${printable(text(result["token"]))}\n`);
  }
  return 0;
}

async function revoke(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { role: { type: "string" } });
  const { device: given } = named(flags.words, ["device"], "devices revoke");
  const { deviceId, role, device } = await tokenOf(context, given, flags.value("role"));
  const result = await context.call("device.token.revoke", { deviceId, role });
  if (context.json) printJson(context, result);
  else
    context.note(printable(`The token of ${nameOf(device)} (${role}) is revoked and its connections end.`));
  return 0;
}

export async function run(context: CommandContext): Promise<number> {
  const { name, rest } = subcommand(context.args, subcommands, "list");
  return { list, approve, reject, remove, rotate, revoke }[name](context, rest);
}
