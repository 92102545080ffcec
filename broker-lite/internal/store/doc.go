// Package store is the broker's message store: a commit log with consume queues.
package store
