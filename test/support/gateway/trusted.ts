import { BlockList, isIPv6 } from 'node:net';

/** Kong's `trusted_ips`: addresses and CIDR ranges. */
export function trustedIps(ranges: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [network = '', bits] = range.split('/');
    const family = isIPv6(network) ? 'ipv6' : 'ipv4';
    list.addSubnet(network, Number(bits ?? (family === 'ipv6' ? 128 : 32)), family);
  }
  // The same peers ask again and again.
  const last = { address: '', isTrusted: false };
  return (address) => {
    if (address !== last.address) {
      const isTrusted = list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
      Object.assign(last, { address, isTrusted });
    }
    return last.isTrusted;
  };
}
