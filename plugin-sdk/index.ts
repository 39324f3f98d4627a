export type { Channel, ChannelAccount, InboundMessage, OutboundMessage } from "./channel.ts";
export { type ErrorCode, isRclawError, RclawError } from "./errors.ts";
export {
  type Caller,
  type Command,
  type CommandContext,
  defineMethod,
  type Method,
  type Route,
  type RouteRequest,
  type Scope,
} from "./gateway.ts";
export type { HookHandler, HookName } from "./hooks.ts";
export type { Manifest } from "./manifest.ts";
export { definePlugin, type Logger, type Plugin, type PluginContext, type Socket } from "./plugin.ts";
export type { Block, Chunk, CompletionRequest, Message, ModelInfo, Provider, Usage } from "./provider.ts";
export type { Run, Session, SessionEntry, TranscriptEntry } from "./session.ts";
export {
  defineTool,
  type Files,
  type JsonSchema,
  type Tool,
  type ToolContext,
  type ToolResult,
} from "./tool.ts";
