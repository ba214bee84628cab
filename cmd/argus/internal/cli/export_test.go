package cli

// For tests with a server, which are in package cli_test: argustest imports this package.
var (
	QueueNameHint = queueNameHint
	JobHint       = jobHint
)

type PublishedTask = publishedTask
