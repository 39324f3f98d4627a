/** What `rclaw <command> --help` prints. */
export const usage = {
  agent: `Usage: rclaw agent [-m <text>] [--session <key>] [--thinking <level>]

Asks the assistant. With -m (or text on stdin) it answers once and the command ends;
on a terminal without -m it is a chat.

  -m, --message <text>   what to say; read from stdin when there is no terminal
      --session <key>    the conversation to continue (default: main)
      --thinking <level> off, minimal, low, medium, high or xhigh
      --json             one document: { runId, sessionKey, status, text, result }

In the chat: /new starts afresh, /help lists the commands, /exit leaves.
Ctrl-C stops a running answer; when nothing runs, or twice at once, it leaves.

  rclaw agent -m "list the files in the workspace"
`,
  status: `Usage: rclaw status [--json]

Says whether a gateway runs, which model answers and why, where the configuration
comes from, how channels, plugins and sessions are, and what is not well.
`,
  models: `Usage: rclaw models [<words>] [--json]

Lists the models that can answer, by provider, and says which one does and why.
With words it lists those whose name has all of them.

  rclaw config set agents.defaults.model <provider>/<model>   chooses another
`,
  config: `Usage: rclaw config [show]
       rclaw config get <path>
       rclaw config set <path> <value>
       rclaw config unset <path>

  show    the whole configuration, secrets blanked out
  get     one value, such as: rclaw config get gateway.port
  set     changes the file and keeps its comments. The value is read as JSON5, and as
          plain text when it is none. "-" reads it from stdin, for secrets.
  unset   removes a value

A path is dotted: agents.defaults.model, channels["my.channel"], hooks.rules[0].
--json prints JSON.
`,
  sessions: `Usage: rclaw sessions [list] [--limit <n>]
       rclaw sessions show <key> [--limit <n>]
       rclaw sessions reset <key>
       rclaw sessions delete <key> [--yes]

  list    the conversations, latest first
  show    what was said, and the tools that were used
  reset   starts the conversation afresh; what was said is archived
  delete  removes the conversation; its transcript is archived

  --limit <n>  rows or messages to show (default: 30)
  --yes        do not ask
  --json       print JSON
`,
  plugin: `Usage: rclaw plugin [<command>] [<words and flags>]

Use
  list [--timings]            every plugin and how it is; with what starting it cost
  info <id>                   what a plugin adds and what it may touch
  search <words>              looks for plugins in the index
  add <id or source>          shows what it may do, asks for what it needs, tests it,
                              and switches it on; a source is a folder, a file or a URL
  update [<id>]               brings the newest version; asks about what is new
  rollback <id>               goes back to the version before
  enable <id>, disable <id>   on and off, at once; off undoes everything it did
  remove <id> [--yes]         removes it with its settings, secrets and storage

Operate
  doctor [<id>]               how each one is, with a next step
  top [--once]                what caged plugins use: calls, CPU, memory, network
  logs <id> [--follow]        what one wrote to the log; --limit <lines>
  approvals                   hosts that plugins wait for
  allow <card> [--always]     lets it through once, or from now on
  deny <card>                 does not, and is not asked again
  isolate <id> <runtime>      a narrower cage: wasm, worker or in-process
  trust <id> --runtime <r>    more freedom for one: worker or in-process
  reload [<id>]               off and on again; without an id: looks for changes
  verify [<id>], ci           compares what is installed with the lock; makes it so
  panic                       all that did not come with rclaw goes off, now

Write
  new <id> [--lang <l>]       starts one: ts (default), rust, go, python, c or
                              assemblyscript; --dir <folder>, and for ts
                              --kind tool, hook, channel or provider
  build [<folder>]            makes the files that its manifest names
  test [<folder>]             is it what its manifest says, and does it survive
                              misuse? In a real cage; --runtime worker in a thread
  dev [<folder>] [--keep]     builds at every save and swaps it in the running
                              gateway; Ctrl-C takes it out again, unless it was
                              installed from there before
  pack [<folder>]             one file to hand on; --sign signs it

  --account <name>            which account the answers of "add" are for
  --set <key>=<value>         answers a question of "add" that is no secret
  --token-env [<key>=]<name>  takes a secret from an environment variable. Without a
                              terminal, secrets are read from stdin, one a line.
                              They are never taken from the command line.
  --yes                       do not ask
  --json                      print JSON
`,
  channels: `Usage: rclaw channels [status] [--probe]
       rclaw channels login <channel> [--account <name>] [--token-env <name>]
       rclaw channels logout <channel> [--account <name>] [--yes]

  status  every account of every channel; --probe asks the platforms
  login   asks for the channel's credentials again, tests and stores them
  logout  forgets them

  --json  print JSON
`,
  cron: `Usage: rclaw cron [list] [--all]
       rclaw cron add --at|--every|--cron <when> --message|--system-event <text>
       rclaw cron run <id> [--due]
       rclaw cron runs [<id>] [--limit <n>]
       rclaw cron enable|disable|remove <id>
       rclaw cron status

  list    the jobs that are on, or all of them
  add     a new job
  run     runs a job now, or only if it is due
  runs    what came of the last runs
  status  how many there are, when the next one is due, and where they stand

Jobs run while the gateway does. An id may be cut short, or be the job's name.

  --at <time>            once: 2026-12-24T18:00:00+01:00, or 20m from now
  --every <span>         again and again: 30m, 2h, 1d
  --cron <expression>    "0 9 * * 1-5"; with --tz Europe/Vienna, else this machine's time
      --exact            not spread over the first minutes of the full hour
  -m, --message <text>   a task for the assistant, in a conversation of its own
      --session <target> isolated (the default) or session:<key>
      --model, --thinking, --timeout <seconds>   for this task
      --channel, --to, --account                 where the answer goes; without
                         them to where you wrote from last
      --no-deliver       the answer goes nowhere; see: rclaw cron runs
  --system-event <text>  a reminder for the assistant, in its own conversation
  --wake <mode>          now (the default), or next-heartbeat: with the next message
  --name, --agent <id>
  --keep                 a job of --at stays, switched off
  --off                  added, and not yet on
  --yes                  do not ask before removing
  --json                 print JSON
`,
  pairing: `Usage: rclaw pairing [list] [<channel>]
       rclaw pairing approve <channel> <code>
       rclaw pairing revoke <channel> <id>

  list     who waits for an answer and who may talk
  approve  lets the person with this code talk to the assistant
  revoke   takes that back; <id> is the person's id on the channel

  --json   print JSON
`,
  devices: `Usage: rclaw devices [list]
       rclaw devices approve [<request>] [--latest]
       rclaw devices reject [<request>] [--latest]
       rclaw devices remove <device> [--yes]
       rclaw devices rotate <device> [--role <role>] [--scope <scope>]...
       rclaw devices revoke <device> [--role <role>]

  list     which devices wait, and which are paired
  approve  lets one in; without <request> the only one that waits
  reject   turns one away; it may ask again
  remove   forgets a device and closes its connections
  rotate   gives it another token, which is printed; the old one ends
  revoke   takes its token back until it is paired again

  The first digits of a request or a device are enough.
  --latest  of several that wait the newest
  --role    operator or node, where a device is both
  --yes     do not ask
  --json    print JSON
`,
  logs: `Usage: rclaw logs [--follow] [--limit <n>]

Shows the end of the gateway's log. Secrets in it are blanked out.

  -f, --follow     shows what comes, until Ctrl-C
  -n, --limit <n>  lines to begin with (default: 100)
      --json       print JSON; with --follow one document a line
`,
  methods: `Usage: rclaw methods [--json]

Lists every method of the gateway protocol that this gateway answers, who may call it,
which part answers it, and the release that had it first. --json has the params as well.
`,
} as const;

export type CommandName = keyof typeof usage;
