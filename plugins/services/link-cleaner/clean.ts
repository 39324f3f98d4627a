export interface Rules {
  /** A star at the end stands for all that begin so. */
  readonly remove: readonly string[];
  readonly keep: readonly string[];
  readonly keepHosts: readonly string[];
}

/** What advertisers and newsletters add. None of it changes which page is shown. */
const known = [
  ..."utm_* fbclid gclid gclsrc dclid gbraid wbraid msclkid yclid twclid ttclid li_fat_id igshid igsh".split(
    " ",
  ),
  ..."mc_cid mc_eid mkt_tok _hsenc _hsmi __hssc __hstc __hsfp hsctatracking vero_id oly_anon_id".split(" "),
  ..."oly_enc_id srsltid _openstat rb_clickid wickedid s_kwcid ml_subscriber ml_subscriber_hash".split(" "),
];

/** With one of these the whole query is signed, and a link that lacks a part of it opens nothing. */
const signed = /(?:^|&)(?:x-(?:amz|goog)-signature|signature|sig|hmac)=/i;

/** Code is shown as it was written: fences, then spans; both may be left open at the end. */
const code = /(```[\s\S]*?(?:```|$)|~~~[\s\S]*?(?:~~~|$)|`[^`\n]*`)/;
const link = /(https?:\/\/[^\s<>"?#]+)\?([^\s<>"#)\]]*)/gi;

/** Takes tracking parameters out of the links of a text and leaves everything else exactly as it was. */
export function createCleaner({ remove = [], keep = [], keepHosts = [] }: Partial<Rules>) {
  const kept = new Set(keep.map((name) => name.toLowerCase()));
  const names = [...known, ...remove].map((name) => name.toLowerCase());
  const whole = new Set(names.filter((name) => !name.endsWith("*")));
  const beginnings = names.filter((name) => name.endsWith("*")).map((name) => name.slice(0, -1));

  function isTracking(parameter: string): boolean {
    // In HTML's spelling "&amp;" an "amp;" is left over.
    const name = (parameter.split("=")[0] ?? "").replace(/^amp;/, "").toLowerCase();
    return !kept.has(name) && (whole.has(name) || beginnings.some((beginning) => name.startsWith(beginning)));
  }

  function isSpared(address: string): boolean {
    const authority = address.slice(address.indexOf("//") + 2).split("/")[0] ?? "";
    const host = authority.replace(/^.*@/, "").replace(/:\d+$/, "").toLowerCase();
    return keepHosts.some(
      (spared) => host === spared.toLowerCase() || host.endsWith(`.${spared.toLowerCase()}`),
    );
  }

  function cleanLink(text: string, address: string, query: string): string {
    if (signed.test(query) || isSpared(address)) return text;
    // The full stop of a sentence is no part of its last link.
    const end = /[.,;:!?*_'’]*$/.exec(query)?.[0] ?? "";
    const parameters = query.slice(0, query.length - end.length).split("&");
    const left = parameters.filter((parameter) => !isTracking(parameter));
    if (left.length === parameters.length) return text;
    return `${address}${left.length > 0 ? `?${left.join("&").replace(/^amp;/, "")}` : ""}${end}`;
  }

  return (text: string): string =>
    text
      .split(code)
      .map((part, index) => (index % 2 === 1 ? part : part.replaceAll(link, cleanLink)))
      .join("");
}
