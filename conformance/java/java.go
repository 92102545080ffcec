package java

import "embed"

// Sources holds golden/*.java, peer/*.java, filter/*.java and admin/*.java.
//
//go:embed golden/*.java peer/*.java filter/*.java admin/*.java
var Sources embed.FS

// POM resolves Apache RocketMQ's published jars with Maven; the property
// rocketmq.version chooses the version.
//
//go:embed pom.xml
var POM []byte
