/**
 * The part of the WebAssembly API that the lanes use: it is Node's, but its types stand only in those of a
 * browser, which would bring `window` and all the rest into every file.
 */
declare namespace WebAssembly {
  type ValueKind = "function" | "global" | "memory" | "table" | "tag";

  interface ModuleImportDescriptor {
    readonly module: string;
    readonly name: string;
    readonly kind: ValueKind;
  }
  interface ModuleExportDescriptor {
    readonly name: string;
    readonly kind: ValueKind;
  }
  type Imports = Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  type Exports = Readonly<Record<string, unknown>>;

  interface Module {}
  const Module: {
    new (bytes: Uint8Array): Module;
    imports(module: Module): ModuleImportDescriptor[];
    exports(module: Module): ModuleExportDescriptor[];
  };

  interface Instance {
    readonly exports: Exports;
  }
  const Instance: { new (module: Module, imports?: Imports): Instance };

  interface Memory {
    readonly buffer: ArrayBuffer;
    grow(pages: number): number;
  }
  const Memory: { new (limits: { initial: number; maximum?: number }): Memory };

  interface Table {
    readonly length: number;
    grow(entries: number): number;
  }
  const Table: { new (limits: { element: string; initial: number; maximum?: number }): Table };

  const RuntimeError: ErrorConstructor;
  const CompileError: ErrorConstructor;
  const LinkError: ErrorConstructor;

  function validate(bytes: Uint8Array): boolean;
  function compile(bytes: Uint8Array): Promise<Module>;
  function instantiate(module: Module, imports?: Imports): Promise<Instance>;
  function instantiate(
    bytes: Uint8Array,
    imports?: Imports,
  ): Promise<{ readonly module: Module; readonly instance: Instance }>;
}
