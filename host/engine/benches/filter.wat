;; Passes a message whose header x-tenant is the text acme, drops any other. The harness fills in
;; what stands in braces.
(module
  (memory (export "memory") 8)
  (data (i32.const 16) {describe})
  (data (i32.const 4096) {init})
  (data (i32.const 8192) "x-tenant")
  (func (export "lockgate_abi") (result i32) (i32.const 1))
  (func (export "lockgate_describe") (result i64) (i64.const {describe_at}))
  (func (export "lockgate_init") (param i32 i32) (result i64) (i64.const {init_at}))
  (func (export "lockgate_buffer") (param i32) (result i32) (i32.const 65536))

  ;; The content of part $id of a frame, or 0.
  (func $part (param $frame i32) (param $id i32) (result i32) (local $at i32) (local $end i32)
    (local.set $at (i32.add (local.get $frame) (i32.const 32)))
    (local.set $end (i32.add (local.get $frame) (i32.load (local.get $frame))))
    (block $none
      (loop $next
        (br_if $none (i32.ge_u (local.get $at) (local.get $end)))
        (if (i32.eq (i32.load (local.get $at)) (local.get $id))
          (then (return (i32.add (local.get $at) (i32.const 8)))))
        (local.set $at (i32.add (local.get $at) (i32.add (i32.const 8)
          (i32.and (i32.add (i32.load offset=4 (local.get $at)) (i32.const 7)) (i32.const -8)))))
        (br $next)))
    (i32.const 0))

  ;; Whether a frame has the header; headers are long strings here.
  (func $wanted (param $frame i32) (result i32) (local $at i32) (local $n i32) (local $name i32)
    (local.set $at (call $part (local.get $frame) (i32.const 3)))
    (if (i32.eqz (local.get $at)) (then (return (i32.const 0))))
    (local.set $n (i32.load (local.get $at)))
    (local.set $at (i32.add (local.get $at) (i32.const 4)))
    (block $none
      (loop $next
        (br_if $none (i32.eqz (local.get $n)))
        (local.set $name (i32.load8_u (local.get $at)))
        (if (i32.and (i32.eq (local.get $name) (i32.const 8))
              (i64.eq (i64.load offset=1 (local.get $at)) (i64.load (i32.const 8192))))
          (then (return (i32.and
            (i32.eq (i32.load offset=10 (local.get $at)) (i32.const 4))
            (i32.eq (i32.load offset=14 (local.get $at)) (i32.const 0x656d6361))))))
        (local.set $at (i32.add (local.get $at) (i32.add (local.get $name) (i32.const 1))))
        (local.set $at (i32.add (local.get $at)
          (i32.add (i32.load offset=1 (local.get $at)) (i32.const 5))))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  (func (export "lockgate_batch") (param $in i32) (param $len i32) (result i64)
    (local $n i32) (local $i i32) (local $at i32)
    (local.set $n (i32.load offset=8 (local.get $in)))
    (local.set $at (i32.const 16400))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $i) (local.get $n)))
        (i32.store (local.get $at) (local.get $i))
        (i32.store offset=4 (local.get $at)
          (select (i32.const 0) (i32.const 4)
            (call $wanted (i32.add (local.get $in) (i32.load offset=24
              (i32.add (local.get $in) (i32.shl (local.get $i) (i32.const 2))))))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (i32.store (i32.const 16384) (i32.const 0x3156474C))
    (i32.store (i32.const 16388) (i32.const 1))
    (i32.store (i32.const 16392) (local.get $n))
    (i32.store (i32.const 16396) (i32.sub (local.get $at) (i32.const 16384)))
    (i64.or (i64.const 0x400000000000)
      (i64.extend_i32_u (i32.sub (local.get $at) (i32.const 16384))))))
