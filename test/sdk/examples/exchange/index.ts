import { definePlugin, defineTool } from "@rclaw/plugin-sdk";
import { Type } from "typebox";

const currency = Type.String({ pattern: "^[A-Z]{3}$", description: "Three letters, such as EUR." });
const params = Type.Object({ from: currency, to: currency }, { additionalProperties: false });

export default definePlugin<{ readonly baseUrl: string }>({
  activate(ctx) {
    const rate = defineTool({
      name: "exchange_rate",
      description: "What one unit of a currency costs in another one today.",
      params,
      async execute({ from, to }, { signal }) {
        const response = await ctx.fetch(`${ctx.config.baseUrl}/latest?base=${from}&symbols=${to}`, {
          signal,
        });
        if (!response.ok)
          return { content: `The exchange rates are not available (${response.status}).`, isError: true };
        const { rates } = (await response.json()) as { readonly rates?: Readonly<Record<string, number>> };
        const value = rates?.[to];
        if (value === undefined) return { content: `There is no rate for ${to}.`, isError: true };
        return { content: `1 ${from} = ${value} ${to}`, details: { from, to, value } };
      },
    });
    ctx.tools.register(rate);
  },
});
