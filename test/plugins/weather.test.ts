import { describe, expect, test } from "vitest";
import type { WeatherConfig } from "../../plugins/tools/weather/index.ts";
import { serve } from "./egress-setup.ts";
import { cages, type Cage, shipped } from "./lanes/shipped.ts";
import { place } from "./lanes/setup.ts";

const vienna = {
  name: "Vienna",
  latitude: 48.2,
  longitude: 16.37,
  country: "Austria",
  country_code: "AT",
  admin1: "Vienna",
};
const paris = [
  {
    name: "Paris",
    latitude: 48.85,
    longitude: 2.35,
    country: "France",
    country_code: "FR",
    admin1: "Île-de-France",
  },
  {
    name: "Paris",
    latitude: 33.66,
    longitude: -95.55,
    country: "United States",
    country_code: "US",
    admin1: "Texas",
  },
];
const forecast = {
  current: {
    time: "2026-11-29T09:15",
    temperature_2m: -0.3,
    apparent_temperature: -4.1,
    relative_humidity_2m: 81,
    weather_code: 71,
    wind_speed_10m: 12.4,
  },
  daily: {
    time: ["2026-11-29", "2026-11-30"],
    weather_code: [71, 3],
    temperature_2m_min: [-3.2, -1],
    temperature_2m_max: [1.4, 2],
    precipitation_sum: [2.31, 0],
    precipitation_probability_max: [80, null],
    wind_speed_10m_max: [20, 15.5],
  },
};

interface Peer {
  readonly url: string;
  readonly asked: URL[];
}

/** Open-Meteo's two services on one port. */
async function openMeteo(fails?: number): Promise<Peer> {
  const asked: URL[] = [];
  const { url } = await serve((request, response) => {
    const wanted = new URL(request.url ?? "/", "http://localhost");
    asked.push(wanted);
    const name = wanted.searchParams.get("name");
    const results = name === "Vienna" ? [vienna] : name === "Paris" ? paris : undefined;
    const body = wanted.pathname === "/v1/forecast" ? forecast : { ...(results && { results }) };
    response.writeHead(fails ?? 200, { "content-type": "application/json" });
    response.end(JSON.stringify(fails ? { error: true, reason: "out of order" } : body));
  });
  return { url, asked };
}

async function ask(cage: Cage, { url }: Peer, params: object, config: Partial<WeatherConfig> = {}) {
  const rclaw = await shipped<WeatherConfig>(cage, "tools/weather", {
    config: { geocodingBaseUrl: url, forecastBaseUrl: `${url}/`, ...config },
  });
  return rclaw.context.tools.call("weather", params, { ...place, signal: rclaw.context.signal });
}

describe.each(cages)("%s", (cage) => {
  test("a place's name leads to its weather, one line for each day", async () => {
    const peer = await openMeteo();
    const { content, details } = await ask(cage, peer, { place: "Vienna", days: 2 });
    expect(content).toBe(
      [
        "Vienna, Austria, local time 2026-11-29 09:15",
        "Now: 0°C (feels like -4), light snow, humidity 81%, wind 12 km/h",
        "2026-11-29: -3 to 1°C, light snow, precipitation 2.3 mm (80%), wind up to 20 km/h",
        "2026-11-30: -1 to 2°C, overcast, precipitation 0.0 mm (?%), wind up to 16 km/h",
      ].join("\n"),
    );
    expect(details).toMatchObject({ place: { latitude: 48.2 }, units: "metric" });
    expect(Object.fromEntries(peer.asked[1]?.searchParams ?? [])).toMatchObject({
      latitude: "48.2",
      forecast_days: "2",
    });
  });

  test("a country or state behind a comma tells places of one name apart, and units are the person's", async () => {
    const peer = await openMeteo();
    const { content } = await ask(cage, peer, { place: "Paris, Texas" }, { units: "imperial" });
    expect(content).toContain("Paris, Texas, United States");
    expect(content).toContain("°F");
    expect(peer.asked[1]?.searchParams.get("temperature_unit")).toBe("fahrenheit");
    expect((await ask(cage, peer, { place: "Paris" })).content).toContain("France");
  });

  test("a place that is not known and a service that is down are answers, not crashes", async () => {
    expect(await ask(cage, await openMeteo(), { place: "Nowhere" })).toMatchObject({
      isError: true,
      content: expect.stringContaining("No place called") as string,
    });
    expect(await ask(cage, await openMeteo(503), { place: "Vienna" })).toMatchObject({
      isError: true,
      content: expect.stringContaining("status 503: out of order") as string,
    });
  });
});

test("in its sandbox nothing is loaded before the first forecast is asked for", async () => {
  const { url } = await openMeteo();
  const config = { geocodingBaseUrl: url, forecastBaseUrl: url };
  const configured = await shipped<WeatherConfig>("wasm", "tools/weather", { config });
  expect(configured.contributions.tools.get("weather")?.params).toMatchObject({ required: ["place"] });
  const usual = await shipped<WeatherConfig>("wasm", "tools/weather");
  expect(usual.contributions.tools.get("weather")?.params).toMatchObject({ required: ["place"] });
  expect(usual.lanes?.use("weather")).toMatchObject({ loaded: false, calls: 0 });
});
