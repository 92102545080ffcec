package generate

import (
	"go/ast"
	"go/types"
	"strings"
)

// signature checks that a function can be what its directive says. It returns whose it is
// and what its second parameter is, or a nil owner.
func (r *reader) signature(fn *ast.FuncDecl, directive string) (*owner, types.Type) {
	name := fn.Name.Name
	want := map[string]string{
		listener:    "func(ctx context.Context, v T) error, or with a *consumer.Batch[T]",
		dlq:         "func(ctx context.Context, d *message.Delivery) error",
		transaction: "func(ctx context.Context, d *message.Delivery) error, or with the message's value",
	}[directive]
	obj, _ := r.info.Defs[fn.Name].(*types.Func)
	if name == "_" || name == "init" || obj == nil {
		r.mistake("%s cannot be called; give it a name", name)
		return nil, nil
	}
	sig := obj.Signature()
	if why := r.broken(fn, sig); why != "" {
		r.mistake("%s does not compile: %s", name, why)
		return nil, nil
	}
	if sig.TypeParams() != nil || sig.RecvTypeParams() != nil {
		r.mistake("%s is generic; write a function of a certain type that calls it", name)
		return nil, nil
	}
	if sig.Variadic() || sig.Params().Len() != 2 || sig.Results().Len() != 1 ||
		!is(sig.Params().At(0).Type(), "context", "Context") || !types.Identical(sig.Results().At(0).Type(), types.Universe.Lookup("error").Type()) {
		r.mistake("%s is a %s; make it a %s", name, types.TypeString(unnamed(sig), (*types.Package).Name), want)
		return nil, nil
	}
	param := sig.Params().At(1).Type()
	if directive == dlq && !isDelivery(param) || directive == transaction && batchOf(param) != nil {
		r.mistake("%s takes a %s; make it a %s", name, types.TypeString(param, (*types.Package).Name), want)
		return nil, nil
	}
	if sig.Recv() == nil {
		return r.owner(""), param
	}
	recv := types.Unalias(sig.Recv().Type())
	ptr, pointer := recv.(*types.Pointer)
	if pointer {
		recv = types.Unalias(ptr.Elem())
	}
	named, ok := recv.(*types.Named)
	if !ok {
		r.mistake("the type of %s does not compile", name)
		return nil, nil
	}
	o := r.owner(named.Obj().Name())
	o.pointer = o.pointer || pointer
	return o, param
}

// broken says why a function's types are not known, "" when they are. Types of a package
// that cannot be imported have no errors of their own.
func (r *reader) broken(fn *ast.FuncDecl, sig *types.Signature) string {
	for _, err := range r.errs {
		if err.Pos >= fn.Pos() && err.Pos < fn.Type.End() {
			return err.Msg
		}
	}
	if strings.Contains(types.TypeString(sig, nil), types.Typ[types.Invalid].String()) && len(r.errs) > 0 {
		return r.errs[0].Msg
	}
	return ""
}

// unnamed is a signature without its receiver and the names of its parameters.
func unnamed(sig *types.Signature) *types.Signature {
	plain := func(t *types.Tuple) *types.Tuple {
		vars := make([]*types.Var, t.Len())
		for i := range vars {
			vars[i] = types.NewParam(0, nil, "", t.At(i).Type())
		}
		return types.NewTuple(vars...)
	}
	return types.NewSignatureType(nil, nil, nil, plain(sig.Params()), plain(sig.Results()), sig.Variadic())
}

// is reports whether t is a type by its name. Types are not compared, since a package
// may have been read twice, from its source and its export data.
func is(t types.Type, path, name string) bool {
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Name() == name && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == path
}

// isDelivery reports whether t is *message.Delivery.
func isDelivery(t types.Type) bool {
	p, ok := types.Unalias(t).(*types.Pointer)
	return ok && is(p.Elem(), module+"/message", "Delivery")
}

// batchOf returns T for *consumer.Batch[T], nil for other types.
func batchOf(t types.Type) types.Type {
	p, ok := types.Unalias(t).(*types.Pointer)
	if !ok || !is(p.Elem(), module+"/consumer", "Batch") {
		return nil
	}
	n, ok := types.Unalias(p.Elem()).(*types.Named)
	if !ok || n.TypeArgs().Len() != 1 {
		return nil
	}
	return n.TypeArgs().At(0)
}
