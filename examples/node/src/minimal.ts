// The smallest useful worker: reads one task at a time and records its result.
// The README shows its loop. It does not renew leases.
import { promisify } from "node:util";
import { taskQueue } from "./argus.js";

interface Task {
  scanners?: string[];
}
interface Delivery {
  leaseToken: string;
  task: Task;
}

/** Stands for the real work. */
async function scan(task: Task): Promise<Record<string, string>> {
  return { worked_in: "typescript", scanned: (task.scanners ?? []).join(",") };
}

const queue = taskQueue();
const read = promisify<object, { deliveries?: Delivery[] }>(queue.Read.bind(queue));
const complete = promisify<object, object>(queue.Complete.bind(queue));
for (;;) {
  const { deliveries = [] } = await read({ consumer: "node-1" });
  for (const { leaseToken, task } of deliveries) {
    await complete({ leaseToken, status: "JOB_STATUS_COMPLETED", fields: await scan(task) });
  }
}
