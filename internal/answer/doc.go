// Package answer turns what servers answer into the types of package message:
// refusals into errors that name the remedy, and stored records into deliveries.
package answer
