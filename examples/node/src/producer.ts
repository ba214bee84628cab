// Publishes a scan task and prints its job's id. Arguments: the scanners to run.
import { randomUUID } from "node:crypto";
import type { ServiceError } from "@grpc/grpc-js";
import { taskQueue } from "./argus.js";

const scanners = process.argv.slice(2);
const queue = taskQueue();
const request = {
  task: { scanners: scanners.length > 0 ? scanners : ["trivy"] },
  requestId: randomUUID(), // repeating the call would be safe
  initialState: { fields: { made_in: "typescript" } },
};
queue.Publish(request, { deadline: Date.now() + 10_000 }, (error: ServiceError | null, reply: { jobId: string }) => {
  if (error) {
    console.error(`producer: ${error.details}`);
    process.exitCode = 1;
  } else {
    console.log(reply.jobId);
  }
  queue.close();
});
