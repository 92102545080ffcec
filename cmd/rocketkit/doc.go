// Command rocketkit runs a RocketMQ server, and talks to one.
//
//	rocketkit server                       a name server and a broker, on 9876 and 10911
//	rocketkit server stop [broker|namesrv]
//	rocketkit send -t <topic>              a message, or the lines of the input
//	rocketkit consume -t <topic> -g <group>
//	rocketkit topic create|list|route|status
//	rocketkit dlq list|show|redrive        dead letters, and back to their group
//	rocketkit store check|repair|dump <dir>
//	rocketkit generate ./...               Go for the directives above handlers
package main
