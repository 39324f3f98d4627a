import { definePlugin, defineTool, isRclawError } from "@rclaw/plugin-sdk";
import { findPlace, forecast, type Services } from "./open-meteo.ts";
import { tell, type Units } from "./report.ts";
import { weatherParams } from "./weather.schema.ts";

export interface WeatherConfig {
  readonly units?: Units;
  readonly language?: string;
  readonly geocodingBaseUrl?: string;
  readonly forecastBaseUrl?: string;
}

const withoutSlash = (url: string): string => url.replace(/\/+$/, "");

export default definePlugin<WeatherConfig>({
  activate(ctx) {
    const {
      units: usual = "metric",
      language = "en",
      geocodingBaseUrl = "https://geocoding-api.open-meteo.com",
      forecastBaseUrl = "https://api.open-meteo.com",
    } = ctx.config;
    const services: Services = {
      fetch: ctx.fetch,
      language,
      geocoding: withoutSlash(geocodingBaseUrl),
      forecast: withoutSlash(forecastBaseUrl),
    };

    ctx.tools.register(
      defineTool({
        name: "weather",
        description:
          "The weather now and the forecast for up to seven days, by the name of a place. The numbers are measured or modelled; do not guess the weather without it.",
        params: weatherParams,
        timeoutMs: 15_000,
        async execute({ place: name, days = 3, units = usual }, { signal }) {
          try {
            const place = await findPlace(name, services, signal);
            if (!place)
              return {
                content: `No place called ${JSON.stringify(name)} is known. Ask for the nearest larger town, or write it as in its own country.`,
                isError: true,
              };
            const weather = await forecast({ place, days, units }, services, signal);
            return { content: tell(place, weather, units), details: { place, units } };
          } catch (error) {
            // What is not there now is an answer for the model; a refusal by policy is for the operator.
            if (!isRclawError(error) || !error.retryable || signal.aborted) throw error;
            return { content: `The weather cannot be had: ${error.message}`, isError: true };
          }
        },
      }),
    );
  },
});
