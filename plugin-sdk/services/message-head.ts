const clock = String.raw`(?:Sun|Mon|Tue|Wed|Thu|Fri|Sat) \d{4}-\d{2}-\d{2} \d{2}:\d{2} [^\]\n]{1,32}\] `;

/** What the gateway puts in front of a person's words: waiting events, then the time, and in a conversation of several who speaks. */
const head = new RegExp(
  String.raw`^(?:(?:System: \[[^\n]*\n)+\n)?\[(?:${clock}|[^\]\n]{1,160} ${clock}[^\n()]{1,80} \(id:[^\s()]{1,64}\): )`,
);

/** People see what they wrote, without what the gateway put in front of it. */
export function withoutHead(text: string): string {
  const first = text.charCodeAt(0);
  return first === 91 || first === 83 ? text.replace(head, "") : text;
}
