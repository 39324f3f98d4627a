import { BlockList, isIP } from "node:net";

/** Where a plugin may connect to, judged on literal addresses only; names are resolved first. */
export interface AddressRules {
  /** The name of the special range an address lies in, or undefined when it is public. */
  special(address: string): string | undefined;
  /** Ranges a home network uses. A granted host name may resolve into these, never into the others. */
  local(address: string): boolean;
}

type Range = readonly [name: string, ...subnets: string[]];

const localRanges: readonly Range[] = [
  ["loopback", "127.0.0.0/8", "::1/128"],
  ["private network", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
  ["shared address space", "100.64.0.0/10"],
];

/** Clouds put their metadata services here and inside the local ranges, where only a literal grant reaches them. */
const reservedRanges: readonly Range[] = [
  ["unspecified", "0.0.0.0/8", "::/128"],
  ["link-local", "169.254.0.0/16", "fe80::/10"],
  ["cloud metadata", "168.63.129.16/32", "100.100.100.200/32", "fd00:ec2::/32"],
  ["protocol assignments", "192.0.0.0/24", "192.88.99.0/24"],
  ["documentation", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"],
  ["benchmarking", "198.18.0.0/15"],
  ["multicast", "224.0.0.0/4", "ff00::/8"],
  ["reserved", "240.0.0.0/4", "100::/64", "5f00::/16"],
  ["IPv4 inside IPv6", "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16"],
  ["protocol assignments", "2001::/23"],
  ["site-local", "fec0::/10"],
];

/** `allowCidrs`: special ranges that somebody's proxy or network uses for ordinary hosts, and so count as public. */
export function createAddressRules(allowCidrs: readonly string[] = []): AddressRules {
  const allowed = listOf(["allowed", ...allowCidrs]).list;
  const local = localRanges.map(listOf);
  const reserved = reservedRanges.map(listOf);
  // Loopback ::1 lies inside ::/96 as well, so the local ranges are asked first for the name.
  const lists = [...reserved.filter(({ name }) => name === "cloud metadata"), ...local, ...reserved];
  const global = new BlockList();
  global.addSubnet("2000::", 3, "ipv6");

  const special = (given: string): string | undefined => {
    const address = plain(given);
    const family = familyOf(address);
    if (!family) return "not an address";
    if (allowed.check(address, family)) return undefined;
    const found = lists.find(({ list }) => list.check(address, family));
    if (found) return found.name;
    // A BlockList reads ::ffff:a.b.c.d as a.b.c.d; every other IPv6 address on the internet lies in 2000::/3.
    const isMapped = family === "ipv6" && /^::ffff:/i.test(address);
    return family === "ipv6" && !isMapped && !global.check(address, family) ? "reserved" : undefined;
  };
  return {
    special,
    local: (address) => local.some(({ name }) => name === special(address)),
  };
}

function listOf([name, ...subnets]: Range): { name: string; list: BlockList } {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [address = "", bits = ""] = subnet.split("/");
    list.addSubnet(address, Number(bits), address.includes(":") ? "ipv6" : "ipv4");
  }
  return { name, list };
}

function familyOf(address: string): "ipv4" | "ipv6" | undefined {
  const version = isIP(address);
  return version === 0 ? undefined : version === 4 ? "ipv4" : "ipv6";
}

/** Without the zone of `fe80::1%eth0`. */
function plain(address: string): string {
  return address.replace(/%.*$/, "");
}
