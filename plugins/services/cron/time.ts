/** A moment in any of the spellings people use; without a zone it is UTC. */
export function timeOf(raw: string | undefined): number | undefined {
  const given = raw?.trim();
  if (given === undefined || given === "") return undefined;
  if (/^\d+$/.test(given) && Number(given) > 0) return Number(given);
  const isDay = /^\d{4}-\d{2}-\d{2}$/.test(given);
  const isBare = /^\d{4}-\d{2}-\d{2}T/.test(given) && !/(?:Z|[+-]\d{2}:?\d{2})$/i.test(given);
  const parsed = Date.parse(isDay ? `${given}T00:00:00Z` : isBare ? `${given}Z` : given);
  return Number.isFinite(parsed) ? parsed : undefined;
}
