import { defineService } from "@rclaw/plugin-sdk/services/service";
import { ci } from "./ci.ts";
import { commit, remove, revert, rollback, settle } from "./commit.ts";
import { diffManifests } from "./diff.ts";
import { inspect } from "./inspect.ts";
import { pack } from "./pack.ts";
import { builtInIndex, readIndex, search } from "./search.ts";
import { rotateSigningKey } from "./signing-key.ts";
import { hostsOf } from "./source.ts";
import { discard, stage } from "./stage.ts";
import { installed, verify, verifyEntry } from "./verify.ts";

export default defineService("plugin-store", {
  hostsOf,
  stage,
  inspect,
  commit,
  settle,
  discard,
  rollback,
  revert,
  remove,
  installed,
  verify,
  verifyEntry,
  ci,
  pack,
  rotateSigningKey,
  diffManifests,
  readIndex,
  builtInIndex,
  search,
});
