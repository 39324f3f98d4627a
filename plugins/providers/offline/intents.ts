/** What a message without a request for a tool is about. */
export type Intent =
  | "hello"
  | "foreign-hello"
  | "who"
  | "rclaw"
  | "tools"
  | "help"
  | "thanks"
  | "bye"
  | "how"
  | "agree"
  | "model"
  | "telegram"
  | "channel"
  | "stop"
  | "secret"
  | "which-file"
  | "which-text"
  | "which-command"
  | "change"
  | "nothing"
  | "unclear"
  | "unknown";

/** Where a word ends in every script; `\b` knows Latin letters only. */
const end = String.raw`(?![\p{L}\p{N}])`;
const pattern = (source: string): RegExp => new RegExp(source, "iu");
const startsWith = (words: string): RegExp => pattern(`^(?:${words})${end}`);
const isOnly = (words: string): RegExp => pattern(String.raw`^(?:${words})[\s.!?,]*$`);

const makers = "anthropic|openai|open ai|ollama|claude|gpt|chat ?gpt|llama|gemini|openrouter";

/** The first that fits counts. */
const phrases: readonly (readonly [Intent, RegExp])[] = [
  [
    "secret",
    /\bsk-[\w-]{16,}|\bAIza[\w-]{30,}|\bgh[pousr]_\w{30,}|\bxox[abp]-[\w-]{20,}|\b\d{6,}:[\w-]{30,}/,
  ],
  [
    "thanks",
    startsWith(
      "(?:ok(?:ay)?,? |great,? |cool,? |many )?(?:thanks?|thank you|thx|ty|cheers|danke|merci|gracias|grazie|спасибо|ありがとう|谢谢)",
    ),
  ],
  [
    "bye",
    startsWith(
      "bye|goodbye|good night|see you|see ya|cya|farewell|tschüss|auf wiedersehen|adiós|au revoir|пока|再见|さようなら",
    ),
  ],
  ["stop", pattern(String.raw`\bhow (?:do|can) i (?:stop|cancel|interrupt|abort)\b`)],
  [
    "tools",
    pattern(String.raw`\b(?:what|which|list)\b.*\btools?\b|\b(?:can|do) you (?:use|have)\b.*\btools?\b`),
  ],
  [
    "rclaw",
    pattern(String.raw`\bwhat(?:'s| is) (?:rclaw|rusty.?claw|this)\b|\bhow does (?:rclaw|this) work\b`),
  ],
  [
    "who",
    pattern(
      String.raw`\b(?:who|what) (?:are|r) (?:you|u)\b|\bwhat(?:'s| is) your name\b|\bwho (?:made|built|wrote|created) you\b|\b(?:are|r) (?:you|u) (?:an? )?(?:real|ai|bot|robot|model|human|llm|person|${makers})\b|\bintroduce yourself\b|\b(?:what|which) (?:language )?model\b`,
    ),
  ],
  [
    "how",
    pattern(
      String.raw`\bhow are (?:you|u)\b|\bhow(?:'s| is) it going\b|\bwh?at'?s up\b|^(?:wie geht|ça va|cómo estás|qué tal)`,
    ),
  ],
  ["telegram", pattern(String.raw`\btelegram\b|\bbot ?father\b|\bpairing\b`)],
  [
    "model",
    pattern(
      String.raw`\b(?:api )?keys?\b|\b(?:real|language|better|another|ai) model\b|\b(?:add|connect|use|set ?up|configure|install|choose|get|switch to|need|want)\b.*\b(?:model|provider|${makers})\b|^(?:${makers}|models?|offline)[?!.]*$|\b(?:${makers})\b.*\b(?:set ?up|use|connect|configure|work)\b`,
    ),
  ],
  ["channel", pattern(String.raw`\b(?:discord|slack|whatsapp|signal|matrix|imessage|teams|e-?mail|sms)\b`)],
  [
    "help",
    pattern(
      String.raw`^(?:help|commands?|menu|start|/start|options)[?!. ]*$|^(?:please )?help(?: me)?(?: please)?[?!.]*$|\bwhat (?:else )?(?:can|could) (?:you|u|i|we) (?:do|ask|say|try|type)\b|\bwhat do you do\b|\bhow (?:do|can|should) (?:i|you|we|this) (?:use|work|start|begin)\b|\bget(?:ting)? started\b|\bwhat (?:now|next)\b`,
    ),
  ],
  [
    "hello",
    startsWith(
      "hello|hi|hii+|hey|hiya|howdy|yo|sup|good (?:morning|afternoon|evening|day)|greetings|ping|test|testing|say hello|say hi|welcome|is (?:this thing|anybody|anyone|somebody|someone) (?:on|there|here|home)|are you (?:there|here|awake|alive)|anybody|anyone",
    ),
  ],
  [
    "foreign-hello",
    startsWith(
      "hallo|hall[oö]chen|servus|moin|gr[uü]ezi|gr[uü][sß]+ gott|guten (?:tag|morgen|abend)|hola|buen(?:os|as) \\p{L}+|bonjour|bonsoir|salut|coucou|ciao|buongiorno|olá|oi|hej|hei|ahoj|cześć|merhaba|selam|namaste|नमस्ते|привет|здравствуйте|привіт|こんにちは|こんばんは|おはよう|もしもし|你好|您好|안녕(?:하세요)?|שלום|مرحبا|السلام|สวัสดี|xin chào|γεια",
    ),
  ],
  ["hello", /^\p{Extended_Pictographic}*(?:👋|🙋|🤗)/u],
  [
    "agree",
    isOnly(
      "ok(?:ay)?|k|yes|yeah|yep|yup|sure|no|nope|nah|cool|great|nice|wow|awesome|perfect|good|fine|alright|all right|got it|i see|understood|lol|haha+|hmm*|well done|good (?:job|bot)|never ?mind|nice to meet (?:you|u)|sorry|no problem|ja|nein|sí|oui|да|нет|👍|👌|🎉|😀|🙂|❤️?",
    ),
  ],
  [
    "which-file",
    isOnly("(?:please )?(?:read|open|show|cat|view)(?: me)?(?: (?:a|the|my|some|another))?(?: files?)?"),
  ],
  [
    "which-text",
    isOnly(
      "(?:please )?(?:write|create|make|save|store)(?: me)?(?: (?:a|the|some|another))?(?: new)?(?: (?:files?|notes?|text))?",
    ),
  ],
  [
    "which-command",
    isOnly(
      "(?:please )?(?:run|execute|exec)(?: (?:a|the|some|another))?(?: (?:commands?|programs?|scripts?))?",
    ),
  ],
  [
    "change",
    startsWith("(?:please )?(?:delete|remove|rename|move|copy|append|edit|change|rm|mv|cp|mkdir|touch)"),
  ],
];

/** Nobody says hello in more; patterns that look around are not let loose on a book. */
const maxLength = 1_000;

export function intentOf(whole: string): Intent {
  if (whole === "") return "nothing";
  const text = whole.slice(0, maxLength);
  const found = phrases.find(([, phrase]) => phrase.test(text))?.[0];
  if (found) return found;
  return /[\p{L}\p{N}]/u.test(text) ? "unknown" : "unclear";
}

/** Who of those that make models is named: their plugin, or nothing in particular. */
export function makerIn(text: string): "anthropic" | "openai" | "ollama" | undefined {
  if (/anthropic|claude/i.test(text)) return "anthropic";
  if (/open ?ai|gpt/i.test(text)) return "openai";
  return /ollama|llama/i.test(text) ? "ollama" : undefined;
}
