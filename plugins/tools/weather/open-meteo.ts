import { isRclawError, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import type { Units } from "./report.ts";

export interface Services {
  readonly fetch: PluginContext["fetch"];
  readonly language: string;
  readonly geocoding: string;
  readonly forecast: string;
}

export interface Place {
  readonly name: string;
  readonly region?: string;
  readonly country?: string;
  readonly latitude: number;
  readonly longitude: number;
}

interface Found {
  readonly name?: unknown;
  readonly admin1?: unknown;
  readonly country?: unknown;
  readonly country_code?: unknown;
  readonly latitude?: unknown;
  readonly longitude?: unknown;
}

/** What the forecast API answers; series have one value for each day. */
export interface Weather {
  readonly current?: Readonly<Record<string, number | string>>;
  readonly daily?: { readonly time?: readonly string[] } & Readonly<
    Record<string, readonly (number | string | null)[] | undefined>
  >;
}

/** The best match, or undefined when there is none. What stands behind a comma tells places of one name apart. */
export async function findPlace(
  wanted: string,
  services: Services,
  signal: AbortSignal,
): Promise<Place | undefined> {
  const [name = wanted, ...rest] = wanted.split(",").map((part) => part.trim());
  const query = new URLSearchParams({ name, count: "10", language: services.language, format: "json" });
  const { results } = (await ask(
    `${services.geocoding}/v1/search?${query.toString()}`,
    services,
    signal,
  )) as {
    results?: readonly Found[];
  };
  const places = (Array.isArray(results) ? results : []).filter(isUsable);
  const hints = rest.filter(Boolean).map((hint) => hint.toLowerCase());
  const fits = ({ admin1, country, country_code: code }: Found): boolean =>
    hints.every((hint) => [admin1, country, code].some((word) => isLike(word, hint)));
  const best = places.find(fits) ?? (hints.length === 0 ? places[0] : undefined);
  if (!best) return undefined;
  return {
    name: String(best.name),
    latitude: Number(best.latitude),
    longitude: Number(best.longitude),
    ...(typeof best.admin1 === "string" && { region: best.admin1 }),
    ...(typeof best.country === "string" && { country: best.country }),
  };
}

const isLike = (word: unknown, hint: string): boolean =>
  typeof word === "string" && (word.toLowerCase() === hint || word.toLowerCase().startsWith(`${hint} `));

const isUsable = ({ name, latitude, longitude }: Found): boolean =>
  typeof name === "string" && Number.isFinite(latitude) && Number.isFinite(longitude);

const imperial = { temperature_unit: "fahrenheit", wind_speed_unit: "mph", precipitation_unit: "inch" };

export async function forecast(
  { place, days, units }: { readonly place: Place; readonly days: number; readonly units: Units },
  services: Services,
  signal: AbortSignal,
): Promise<Weather> {
  const query = new URLSearchParams({
    latitude: String(place.latitude),
    longitude: String(place.longitude),
    current: "temperature_2m,apparent_temperature,relative_humidity_2m,weather_code,wind_speed_10m",
    daily:
      "weather_code,temperature_2m_min,temperature_2m_max,precipitation_sum,precipitation_probability_max,wind_speed_10m_max",
    timezone: "auto",
    forecast_days: String(days),
    ...(units === "imperial" && imperial),
  });
  return ask(`${services.forecast}/v1/forecast?${query.toString()}`, services, signal);
}

async function ask(url: string, services: Services, signal: AbortSignal): Promise<object> {
  const { host } = new URL(url);
  let response: Response;
  try {
    response = await services.fetch(url, { signal, headers: { accept: "application/json" } });
  } catch (error) {
    if (signal.aborted || isRclawError(error)) throw error;
    throw new RclawError("UNAVAILABLE", `${host} could not be reached`, { cause: error, retryable: true });
  }
  if (response.status === 429)
    throw new RclawError("RATE_LIMITED", `${host} is limiting requests; try again later`, {
      retryable: true,
    });
  const answer = (await response.json().catch(() => undefined)) as { reason?: unknown } | null | undefined;
  if (response.ok && typeof answer === "object" && answer !== null) return answer;
  const reason = typeof answer?.reason === "string" ? `: ${answer.reason.slice(0, 200)}` : "";
  throw new RclawError("UNAVAILABLE", `${host} answered with status ${response.status}${reason}`, {
    retryable: true,
  });
}
