/** Programs that are started, libraries that are loaded, code that is run because a variable names it. */
const starting =
  /^(LD_|DYLD_|BASH_FUNC|BASH_ENV$|ENV$|PS4$|SHELLOPTS$|BASHOPTS$|PROMPT_COMMAND$|PATH$|ZDOTDIR$|GCONV_PATH$|NODE_(OPTIONS|PATH|EXTRA_CA_CERTS|REPL_\w+)$|(npm|NPM)_|PERL|RUBY|JAVA_|_JAVA|CLASSPATH$|LESSOPEN$|LESSCLOSE$|PAGER$|MANPAGER$|EDITOR$|VISUAL$|BROWSER$|SHELL$|CARGO_|RUSTC|MAKEFLAGS$)/;

// Of these families most members are harmful, so the harmless ones are named.
const families: readonly (readonly [RegExp, RegExp])[] = [
  [/^GIT_/, /^GIT_((AUTHOR|COMMITTER)_(NAME|EMAIL|DATE)|TERMINAL_PROMPT|MERGE_AUTOEDIT|OPTIONAL_LOCKS)$/],
  [
    /^PYTHON/,
    /^PYTHON(UNBUFFERED|DONTWRITEBYTECODE|IOENCODING|UTF8|HASHSEED|OPTIMIZE|WARNINGS|FAULTHANDLER)$/,
  ],
];

/** Whether a variable makes some program run what its value says. */
export function startsCode(name: string): boolean {
  return (
    starting.test(name) || families.some(([family, harmless]) => family.test(name) && !harmless.test(name))
  );
}

/** Whether a command that sets the variable means something else than it says. */
export function changesLoading(name: string): boolean {
  return startsCode(name) || /^(IFS|HOME|CDPATH|CC|CXX)$/.test(name);
}
