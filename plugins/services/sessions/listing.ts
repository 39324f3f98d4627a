import { withJson } from "@rclaw/plugin-sdk/settled";
import type { SessionEntry } from "@rclaw/plugin-sdk";
import { parseKey, type ParsedKey } from "@rclaw/plugin-sdk/session-key";
import type { Static } from "typebox";
import type { describeParams, listParams } from "./methods.schema.ts";
import { Glimpses, titleOf } from "./preview.ts";
import { rowOf, type Standard, standardOf } from "./rows.ts";
import type { SessionStore } from "./store.ts";

type ListParams = Static<typeof listParams>;

export interface SessionListOptions {
  readonly store: SessionStore;
  defaults(): Standard;
  now(): number;
}

/** A session as the list has it; replaced when the session changes. */
interface Item {
  readonly key: string;
  /** Among sessions of the same moment the older one stands first. */
  readonly order: number;
  readonly entry: SessionEntry;
  readonly parsed: ParsedKey;
  row?: {
    readonly standard: string;
    readonly value: Readonly<Record<string, unknown>>;
    readonly json: string;
  };
}

interface Page {
  readonly revision: number;
  readonly standard: string;
  readonly sessions: readonly unknown[];
  readonly paging: object;
  readonly defaults: object;
  /** From behind the time to the end. */
  readonly json: string;
}

const maxPages = 16;
/** A longer page is made again each time: kept, such pages would be what the memory is full of. */
const maxPageChars = 1_000_000;
/** Beyond that many at once it is cheaper to begin again. */
const maxMoves = 64;

/**
 * The sessions in the order of the protocol's list, kept while they change, and the pages that
 * were asked for as JSON: a list of a thousand is asked for more often than it changes.
 */
export class SessionList {
  readonly #options: SessionListOptions;
  readonly #glimpses: Glimpses;
  readonly #items = new Map<string, Item>();
  readonly #changed = new Set<string>();
  readonly #pages = new Map<string, Page>();
  #ordered: Item[] = [];
  #isComplete = false;
  #revision = 0;
  #count = 0;

  constructor(options: SessionListOptions) {
    this.#options = options;
    this.#glimpses = new Glimpses(options.store);
    options.store.watch((key) => {
      this.#changed.add(key);
      this.#revision++;
    });
  }

  /** `sessions.list`. */
  async page(params: ListParams): Promise<unknown> {
    const { store, now } = this.#options;
    const standard = this.#standard();
    const name = JSON.stringify(params);
    let page = this.#pages.get(name);
    if (page?.revision !== this.#revision || page.standard !== standard.name) {
      page = await this.#make(params, standard);
      // What lies within the last minutes is another answer by the time.
      if (params.activeMinutes === undefined && !params.activeOnly) this.#keep(name, page);
    }
    const { sessions, paging, defaults, json } = page;
    const ts = now();
    const answer = { ts, path: store.indexFile, count: sessions.length, ...paging, defaults, sessions };
    return withJson(answer, () => `{"ts":${ts}${json}`);
  }

  /** `sessions.describe`: one row of the list, whatever kind of session it is. */
  async describe(
    key: string,
    { includeDerivedTitles, includeLastMessage }: Static<typeof describeParams>,
  ): Promise<unknown> {
    this.#refresh();
    const item = this.#items.get(key);
    if (!item) return { session: null };
    const more = await this.#contentOf(item, { includeDerivedTitles, includeLastMessage });
    return { session: { ...this.#rowOf(item, this.#standard()).value, ...more } };
  }

  /** Keys of the sessions a request may mean, latest first. */
  matching(params: ListParams, test: (item: Pick<Item, "key" | "entry">) => boolean): readonly string[] {
    this.#refresh();
    const { includeGlobal, includeUnknown, agentId, spawnedBy } = params;
    const wanted = filterFor(
      {
        ...(includeGlobal && { includeGlobal }),
        ...(includeUnknown && { includeUnknown }),
        ...(agentId !== undefined && { agentId }),
        ...(spawnedBy !== undefined && { spawnedBy }),
      },
      this.#options,
    );
    return this.#ordered.filter((item) => wanted(item) && test(item)).map(({ key }) => key);
  }

  async #make(
    params: ListParams,
    standard: { readonly name: string; readonly value: Standard },
  ): Promise<Page> {
    this.#refresh();
    const revision = this.#revision;
    const found = this.#ordered.filter(filterFor(params, this.#options));
    if (params.sortBy === "activity" || params.sortBy === "lastInteractionAt") found.sort(byUpdate);
    const { offset = 0, limit = found.length } = params;
    const shown = found.slice(offset, offset + limit);
    const rows = shown.map((item) => this.#rowOf(item, standard));
    const hasContent = params.includeDerivedTitles || params.includeLastMessage;
    const contents = hasContent ? await this.#contents(shown, params) : [];
    const sessions = hasContent
      ? rows.map(({ value }, index) => ({ ...value, ...contents[index] }))
      : rows.map(({ value }) => value);
    const paging = pagingOf(params, { shown: shown.length, offset, total: found.length });
    const defaults = standardOf(standard.value);
    const list = hasContent ? sessions.map((row) => JSON.stringify(row)) : rows.map(({ json }) => json);
    const head = JSON.stringify({
      path: this.#options.store.indexFile,
      count: shown.length,
      ...paging,
      defaults,
    });
    const json = `,${head.slice(1, -1)},"sessions":[${list.join(",")}]}`;
    return { revision, standard: standard.name, sessions, paging, defaults, json };
  }

  async #contents(items: readonly Item[], params: ListParams): Promise<readonly object[]> {
    this.#glimpses.keep(new Set(this.#items.keys()));
    const contents: object[] = [];
    for (const item of items) contents.push(await this.#contentOf(item, params));
    return contents;
  }

  async #contentOf(
    { key, entry }: Item,
    want: { includeDerivedTitles?: boolean | undefined; includeLastMessage?: boolean | undefined },
  ): Promise<object> {
    if (!want.includeDerivedTitles && !want.includeLastMessage) return {};
    const { firstQuestion, lastMessage } = await this.#glimpses.of(key, entry.sessionId);
    const title = want.includeDerivedTitles ? titleOf(entry, firstQuestion) : undefined;
    return {
      ...(title !== undefined && { derivedTitle: title }),
      ...(want.includeLastMessage && lastMessage !== undefined && { lastMessagePreview: lastMessage }),
    };
  }

  #rowOf(item: Item, { name, value: standard }: { readonly name: string; readonly value: Standard }) {
    if (item.row?.standard === name) return item.row;
    const value = Object.freeze(rowOf({ ...item.entry, key: item.key }, standard));
    return (item.row = { standard: name, value, json: JSON.stringify(value) });
  }

  #standard(): { readonly name: string; readonly value: Standard } {
    const value = this.#options.defaults();
    return { name: `${value.modelProvider}/${value.model}/${value.contextTokens}`, value };
  }

  #keep(name: string, page: Page): void {
    this.#pages.delete(name);
    if (page.json.length <= maxPageChars) this.#pages.set(name, page);
    for (const oldest of this.#pages.keys()) {
      if (this.#pages.size <= maxPages) return;
      this.#pages.delete(oldest);
    }
  }

  #refresh(): void {
    const { store } = this.#options;
    if (!this.#isComplete || this.#changed.size > maxMoves) {
      if (!this.#isComplete) for (const { key } of store.list()) this.#changed.add(key);
      this.#isComplete = true;
      for (const key of this.#changed) this.#renew(key);
      this.#ordered = [...this.#items.values()].sort(byUpdate);
    } else {
      for (const key of this.#changed) {
        const before = this.#items.get(key);
        const at = before ? this.#ordered.indexOf(before) : -1;
        if (at >= 0) this.#ordered.splice(at, 1);
        const item = this.#renew(key);
        if (item) this.#ordered.splice(placeOf(this.#ordered, item), 0, item);
      }
    }
    this.#changed.clear();
  }

  #renew(key: string): Item | undefined {
    const before = this.#items.get(key);
    const entry = this.#options.store.find(key);
    if (!entry) {
      this.#items.delete(key);
      return undefined;
    }
    const parsed = before?.parsed ?? parseKey(key);
    const item: Item = { key, entry, parsed, order: before?.order ?? this.#count++ };
    this.#items.set(key, item);
    return item;
  }
}

function byUpdate(a: Item, b: Item): number {
  return b.entry.updatedAt - a.entry.updatedAt || a.order - b.order;
}

function placeOf(ordered: readonly Item[], item: Item): number {
  let [low, high] = [0, ordered.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = ordered[middle];
    if (other && byUpdate(other, item) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Clients that know pages get them, and so does everybody who would not see the end otherwise. */
function pagingOf(
  { limit, offset: asked }: ListParams,
  { shown, offset, total }: { readonly shown: number; readonly offset: number; readonly total: number },
): object {
  const next = offset + shown;
  if (asked === undefined && next >= total) return {};
  return {
    totalCount: total,
    ...(limit !== undefined && { limitApplied: limit }),
    ...(offset > 0 && { offset }),
    nextOffset: next < total ? next : null,
    hasMore: next < total,
  };
}

function filterFor(params: ListParams, { store, now }: SessionListOptions): (item: Item) => boolean {
  const { includeGlobal, includeUnknown, spawnedBy, activeMinutes } = params;
  const search = params.search?.trim().toLowerCase();
  const label = params.label?.trim();
  const agentId = params.agentId?.trim().toLowerCase();
  const since = activeMinutes === undefined ? 0 : now() - activeMinutes * 60_000;
  const more = newerFilter(params, store);
  return (item) => {
    const { key, entry } = item;
    const { kind, agentId: owner, rest } = item.parsed;
    // A cron job's single runs would bury everything else; the job itself is shown.
    if (rest.startsWith("cron:") && /^cron:[^:]+:run:/.test(rest)) return false;
    if (kind === "global" && (!includeGlobal || spawnedBy !== undefined || agentId)) return false;
    if (kind === "unknown" && (!includeUnknown || spawnedBy !== undefined || agentId)) return false;
    if (agentId && owner !== agentId) return false;
    if (spawnedBy !== undefined && entry["spawnedBy"] !== spawnedBy) return false;
    if (label && entry.label !== label) return false;
    if (entry.updatedAt < since) return false;
    if (more && !more(item)) return false;
    if (!search) return true;
    const named = rowOf({ ...entry, key }, {})["displayName"];
    return [named, entry.label, entry["subject"], entry.sessionId, key].some(
      (text) => typeof text === "string" && text.toLowerCase().includes(search),
    );
  };
}

/** What later releases ask for. What rclaw does not know of a session, no session has. */
function newerFilter(params: ListParams, store: SessionStore): ((item: Item) => boolean) | undefined {
  const tests: ((item: Item) => boolean)[] = [];
  const { archived = false, pinned, group, activeOnly } = params;
  if (archived !== "all") tests.push(({ entry }) => (entry["archived"] === true) === archived);
  if (pinned !== undefined) tests.push(({ entry }) => (entry["pinned"] === true) === pinned);
  if (group !== undefined) tests.push(({ entry }) => (entry["category"] ?? "") === group);
  if (params.excludeSubagents) tests.push(({ parsed }) => !`:${parsed.rest}`.includes(":subagent:"));
  if (params.excludeCron) tests.push(({ parsed }) => !parsed.rest.startsWith("cron:"));
  if (params.projectId !== undefined || params.workspaceDir !== undefined) tests.push(() => false);
  if (params.boardFace !== undefined || params.hasBoard) tests.push(() => false);
  if (params.creatorId !== undefined || params.ownerId !== undefined) tests.push(() => false);
  if (params.requireLastInteraction) tests.push(({ entry }) => entry["systemSent"] === true);
  if (activeOnly) {
    const active = new Set(store.runs.unsettled().map(({ sessionKey }) => sessionKey));
    tests.push(({ key }) => active.has(key));
  }
  return tests.length === 0 ? undefined : (item) => tests.every((test) => test(item));
}
