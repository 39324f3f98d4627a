import type { Place, Weather } from "./open-meteo.ts";

export type Units = "metric" | "imperial";

/** WMO's codes, as Open-Meteo uses them. */
const skies: Readonly<Record<number, string>> = {
  0: "clear",
  1: "mostly clear",
  2: "partly cloudy",
  3: "overcast",
  45: "fog",
  48: "freezing fog",
  51: "light drizzle",
  53: "drizzle",
  55: "heavy drizzle",
  56: "freezing drizzle",
  57: "heavy freezing drizzle",
  61: "light rain",
  63: "rain",
  65: "heavy rain",
  66: "freezing rain",
  67: "heavy freezing rain",
  71: "light snow",
  73: "snow",
  75: "heavy snow",
  77: "snow grains",
  80: "light showers",
  81: "showers",
  82: "violent showers",
  85: "snow showers",
  86: "heavy snow showers",
  95: "thunderstorm",
  96: "thunderstorm with hail",
  99: "thunderstorm with heavy hail",
};

const symbols = {
  metric: { degrees: "°C", speed: "km/h", depth: "mm" },
  imperial: { degrees: "°F", speed: "mph", depth: "in" },
} as const;

/** One line for now and one for each day: a model reads it as well as a table, and it costs a fifth of the JSON. */
export function tell({ name, region, country }: Place, { current, daily }: Weather, units: Units): string {
  const { degrees, speed, depth } = symbols[units];
  const where = [...new Set([name, region, country])].filter(Boolean).join(", ");
  const number = (value: unknown, digits = 0): string =>
    typeof value === "number" ? value.toFixed(digits).replace(/^-(0(?:\.0*)?)$/, "$1") : "?";
  const sky = (code: unknown): string => skies[Number(code)] ?? "unknown";
  const lines = [`${where}${current ? `, local time ${String(current["time"]).replace("T", " ")}` : ""}`];
  if (current)
    lines.push(
      `Now: ${number(current["temperature_2m"])}${degrees} (feels like ${number(current["apparent_temperature"])}), ${sky(current["weather_code"])}, humidity ${number(current["relative_humidity_2m"])}%, wind ${number(current["wind_speed_10m"])} ${speed}`,
    );
  for (const [index, day] of (daily?.time ?? []).entries()) {
    const of = (series: string): unknown => daily?.[series]?.[index];
    const wet = `${number(of("precipitation_sum"), units === "metric" ? 1 : 2)} ${depth} (${number(of("precipitation_probability_max"))}%)`;
    lines.push(
      `${day}: ${number(of("temperature_2m_min"))} to ${number(of("temperature_2m_max"))}${degrees}, ${sky(of("weather_code"))}, precipitation ${wet}, wind up to ${number(of("wind_speed_10m_max"))} ${speed}`,
    );
  }
  return lines.join("\n");
}
