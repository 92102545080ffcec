// Package setting knows what a handler's settings are called and how they are written:
// the keys of struct tags and directives, their values, and ${key:default}
// placeholders. It is the one grammar behind consumer.Bind, consumer.Setting and
// "rocketkit generate".
package setting
