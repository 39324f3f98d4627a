import { describeGuest } from "./guest.support.ts";

describeGuest("units", { maxBytes: 150_000 });
