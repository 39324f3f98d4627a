import { existsSync } from "node:fs";
import path from "node:path";
import type { PluginContext } from "@rclaw/plugin-sdk";

/** A skill as the prompt names it. */
export interface SkillLine {
  readonly name: string;
  readonly description: string;
  /** Of its SKILL.md, relative to the workspace. */
  readonly file: string;
}

interface Status {
  readonly workspaceDir: string;
  readonly skills: readonly {
    readonly name: string;
    readonly description: string;
    readonly filePath: string;
    readonly modelVisible: boolean;
  }[];
}

const maxSkills = 150;
const places = ["skills", path.join(".agents", "skills")];

/** The skills a model can use now. Those outside the workspace are not: no tool would read them to it. */
export async function skillsIn(
  workspace: string,
  agentId: string,
  { methods, log }: Pick<PluginContext, "methods" | "log">,
): Promise<readonly SkillLine[]> {
  if (!places.some((place) => existsSync(path.join(workspace, place)))) return [];
  try {
    const { skills } = (await methods.call("skills.status", { agentId })) as Status;
    return skills
      .filter(({ modelVisible, filePath }) => modelVisible && filePath.startsWith(workspace + path.sep))
      .slice(0, maxSkills)
      .map(({ name, description, filePath }) => ({
        name,
        description,
        file: path.relative(workspace, filePath),
      }));
  } catch (error) {
    log.debug({ err: error }, "skills are left out of the prompt");
    return [];
  }
}
