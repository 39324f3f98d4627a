interface AccountConfig {
  readonly enabled?: boolean;
  readonly name?: string;
  readonly baseUrl?: string;
  readonly botToken?: string;
}

export interface MattermostConfig extends AccountConfig {
  readonly accounts?: Readonly<Record<string, AccountConfig>>;
}

/** One account as configured. Who may talk to it is the kernel's business. */
export interface AccountSettings extends AccountConfig {
  readonly id: string;
  readonly isConfigured: boolean;
}

/** The account at the top level and those under `accounts`, which inherit what is not their identity. */
export function accountsOf({
  accounts = {},
  botToken,
  ...shared
}: MattermostConfig): readonly AccountSettings[] {
  const isEnabled = shared.enabled !== false;
  const settings = Object.entries(accounts).map(([id, own]) => ({
    ...shared,
    ...(id === "default" && botToken !== undefined && { botToken }),
    ...own,
    id,
    enabled: isEnabled && own.enabled !== false,
  }));
  const hasDefault = accounts["default"] !== undefined || (botToken === undefined && settings.length > 0);
  const own = {
    ...shared,
    ...(botToken !== undefined && { botToken }),
    id: "default",
    enabled: isEnabled,
  };
  return (hasDefault ? settings : [own, ...settings]).map((one) => ({
    ...one,
    isConfigured: Boolean(one.baseUrl && one.botToken),
  }));
}
