// Package admin looks into queues and jobs, and tidies up: lists of queues, tasks and dead letters, purging,
// redriving, consumer groups, the cleaner, and the checks of permissions and prefixes at start.
package admin
