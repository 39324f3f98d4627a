import type { GaveWay } from "@rclaw/plugin-sdk/services/lanes";

/** By state folder: whoever listens is loaded later than the lanes of its gateway, or earlier. */
const listeners = new Map<string, (event: GaveWay) => void>();

export function onGaveWay(stateDir: string, listener: (event: GaveWay) => void): void {
  listeners.set(stateDir, listener);
}

export const tellGaveWay = (stateDir: string, event: GaveWay): void => listeners.get(stateDir)?.(event);

export const endGaveWay = (stateDir: string): void => void listeners.delete(stateDir);
