// Package consumer is not the one of this module.
package consumer

// Order is an order.
type Order struct{ ID string }
