package load

// Figures is figures, for tests with a server, which are in package load_test.
type Figures = figures
