// Package message holds the nouns of rocketkit: the Message a producer sends,
// the Delivery a consumer receives, the Queue both name, the SendResult, the
// ids and the errors. It imports nothing of this module, so every other package
// can speak in its words.
package message
