"""The door of a server: public HTTP and gRPC in front of Triton.

Everything that Triton 2.51 does not survive stays on this side. Its HTTP endpoint reserves the
memory that a request's shapes ask for before it looks at them, dies of large ones, and answers 500
to what is no JSON; calls from one Python model to another, and questions whether a caller is still
there, corrupt its memory when several run at once; an answer that a dead process owes never comes,
nor an error in its place. So a call is read and checked here, the version that answers is chosen
here and asked directly, one plain gRPC stream a call, and is told here when nobody waits any more.

    web.py       HTTP: envelope.py reads a call and writes an answer
    rpc.py       gRPC: messages.py does the same
    router.py    one call: queue, repetitions, version, cancellation, dead processes
    metrics.py   what is counted
"""
