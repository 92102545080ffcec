package mistakes

import "context"

//rocketmq:listener topic=a
func inTest(context.Context, string) error { return nil }
