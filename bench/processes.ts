import { readFile, readdir } from 'node:fs/promises';

/**
 * CPU time that a process has used so far, all its threads together, in microseconds: the scheduler's own account,
 * exact to the nanosecond where /proc/<pid>/stat counts ticks of 10 ms. Linux only.
 */
export async function cpuMicroseconds(pid: number): Promise<number> {
  const tasks = await readdir(`/proc/${pid}/task`);
  const times = await Promise.all(
    tasks.map((task) => readFile(`/proc/${pid}/task/${task}/schedstat`, 'utf8').catch(() => '0')),
  );
  return times.map(parseSchedstat).reduce((sum, time) => sum + time, 0);
}

/** `<ns on a CPU> <ns waiting for one> <time slices>`, in microseconds. */
export const parseSchedstat = (text: string): number => Number(text.split(' ')[0]) / 1000;

/** What all CPUs of this machine have had so far, in ticks (proc(5)). */
export interface MachineTime {
  readonly total: number;
  /** What the hypervisor gave to others meanwhile. */
  readonly stolen: number;
}

export const machineTime = async (): Promise<MachineTime> =>
  parseStat(await readFile('/proc/stat', 'utf8'));

/** `cpu <user> <nice> <system> <idle> <iowait> <irq> <softirq> <steal> …`; time of guests is in the first two. */
export function parseStat(text: string): MachineTime {
  const [line = ''] = text.split('\n');
  const ticks = line.split(/\s+/).slice(1, 9).map(Number);
  return { total: ticks.reduce((sum, one) => sum + one, 0), stolen: ticks[7] ?? 0 };
}

/** Resident memory in bytes. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const kilobytes = /^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1];
  if (kilobytes === undefined) throw new Error(`no VmRSS of process ${pid}`);
  return Number(kilobytes) * 1024;
}
