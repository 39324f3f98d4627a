export { type ChannelLog, fakeChannel } from "./channel.ts";
export { createTestContext, type SentEvent, type TestContext, type TestContextOptions } from "./context.ts";
export { type ScriptedStep, scriptedProvider } from "./provider.ts";
export { createTestState, type TestState } from "./state.ts";
