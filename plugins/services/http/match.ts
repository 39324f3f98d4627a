const methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/** The most exact declared route: a literal path first, then the longest `/*`. */
export function matchRoute(routes: readonly string[], method: string, path: string): string | undefined {
  const exact = `${method} ${path}`;
  if (routes.includes(exact)) return exact;
  return routes
    .filter((route) => route.endsWith("/*") && exact.startsWith(route.slice(0, -1)))
    .sort((a, b) => b.length - a.length)
    .at(0);
}

/** Which methods a path has; empty when it has none. */
export function methodsOf(routes: readonly string[], path: string): readonly string[] {
  return methods.filter((method) => matchRoute(routes, method, path) !== undefined);
}
