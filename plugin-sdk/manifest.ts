import type { Static } from "typebox";
import type { manifestSchema } from "./manifest.schema.ts";

/** A plugin as it declares itself; the schema in `manifest.schema.ts` is the only definition. */
export type Manifest = Static<typeof manifestSchema>;
