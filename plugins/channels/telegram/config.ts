import type { PluginContext } from "@rclaw/plugin-sdk";

interface AccountConfig {
  readonly enabled?: boolean;
  readonly name?: string;
  readonly botToken?: string;
  readonly webhookUrl?: string;
  readonly webhookSecret?: string;
  readonly linkPreview?: boolean;
}

export interface TelegramConfig extends AccountConfig {
  readonly apiRoot?: string;
  readonly accounts?: Readonly<Record<string, AccountConfig>>;
}

/** One bot as configured. Who may talk to it is the kernel's business. */
export interface AccountSettings extends AccountConfig {
  readonly id: string;
  readonly apiRoot: string;
}

const defaultAccount = "default";

/** The bots of this channel: the one at the top level and those under `accounts`, which inherit what is not a bot's identity. */
export function accountsOf({
  config,
  env,
}: Pick<PluginContext<TelegramConfig>, "config" | "env">): readonly AccountSettings[] {
  const {
    accounts = {},
    apiRoot = "https://api.telegram.org",
    botToken,
    webhookUrl,
    webhookSecret,
    ...shared
  } = config;
  const root = apiRoot.replace(/\/+$/, "");
  const isEnabled = shared.enabled !== false;
  const settings = Object.entries(accounts)
    .filter(([id]) => id !== defaultAccount)
    .map(([id, account]) => ({
      ...shared,
      ...account,
      id,
      apiRoot: root,
      enabled: isEnabled && account.enabled !== false,
    }));

  const own = accounts[defaultAccount];
  const token = own?.botToken ?? botToken ?? env("TELEGRAM_BOT_TOKEN");
  const secret = own?.webhookSecret ?? webhookSecret;
  const url = own?.webhookUrl ?? webhookUrl;
  if (!token && !own && settings.length > 0) return settings;
  return [
    {
      ...shared,
      ...own,
      ...(token && { botToken: token }),
      ...(url && { webhookUrl: url }),
      ...(secret && { webhookSecret: secret }),
      id: defaultAccount,
      apiRoot: root,
      enabled: isEnabled && own?.enabled !== false,
    },
    ...settings,
  ];
}
