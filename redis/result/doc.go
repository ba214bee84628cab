// Package result records the one terminal result of each job, finds it, and repairs job states that
// contradict it.
//
// A result is recorded by a Lua script: the terminal event, the job's state and the settling of the task
// change in one step. Only this process can decode events in JSON and encode a result, so such a script may
// return a question instead of writing; it is then called again with the answer (lua/record.lua).
package result
