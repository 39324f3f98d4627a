interface AccountConfig {
  readonly enabled?: boolean;
  readonly name?: string;
  readonly homeserver?: string;
  readonly accessToken?: string;
  readonly autoJoin?: boolean;
}

export interface MatrixConfig extends AccountConfig {
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
  accessToken,
  ...shared
}: MatrixConfig): readonly AccountSettings[] {
  const isEnabled = shared.enabled !== false;
  const settings = Object.entries(accounts).map(([id, own]) => ({
    ...shared,
    ...(id === "default" && accessToken !== undefined && { accessToken }),
    ...own,
    id,
    enabled: isEnabled && own.enabled !== false,
  }));
  const hasDefault = accounts["default"] !== undefined || (accessToken === undefined && settings.length > 0);
  const own = {
    ...shared,
    ...(accessToken !== undefined && { accessToken }),
    id: "default",
    enabled: isEnabled,
  };
  return (hasDefault ? settings : [own, ...settings]).map((one) => ({
    ...one,
    isConfigured: Boolean(one.homeserver && one.accessToken),
  }));
}
