package java

import "embed"

// Sources holds the programs, a folder each; peer5 is the part of peer that needs a
// 5.x client.
//
//go:embed admin/*.java compress/*.java filter/*.java golden/*.java peer/*.java peer5/*.java
var Sources embed.FS

// POM resolves Apache RocketMQ's published jars with Maven; the property
// rocketmq.version chooses the version.
//
//go:embed pom.xml
var POM []byte
