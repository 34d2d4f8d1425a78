; A large old tree in which new branches replace old ones at random. Each part has a
; tree of its own. --size is its depth: 2^size leaves.

(define (leaf n) (vector n '() '()))

(define (make depth)
  (if (= depth 0)
      (leaf 1)
      (let* ((left (make (- depth 1)))
             (right (make (- depth 1))))
        (vector 0 left right))))

(define forest
  (let ((v (make-vector parts)))
    (let loop ((i 0))
      (if (= i parts)
          v
          (begin (vector-set! v i (make size))
                 (loop (+ i 1)))))))

; Goes down at random and hangs a new branch of the same depth where it stops.
(define (update node depth)
  (let ((side (+ 1 (random 2))))
    (if (or (= depth 1) (= 0 (random 12)))
        (vector-set! node side (make-random (- depth 1)))
        (update (vector-ref node side) (- depth 1)))))

; Not deeper than 4 below: what it leaves out is an empty branch of a number.
(define (make-random depth)
  (let grow ((depth depth) (left 4))
    (if (or (= depth 0) (= left 0))
        (if (= depth 0) (leaf (random 1000)) (chain depth))
        (let* ((a (grow (- depth 1) (- left 1)))
               (b (grow (- depth 1) (- left 1))))
          (vector (random 1000) a b)))))

; One path down of this depth, whose other sides share a leaf's path.
(define (chain depth)
  (let loop ((n 0) (below (leaf (random 1000))))
    (if (= n depth)
        below
        (loop (+ n 1) (vector n below below)))))

(define (sum node depth)
  (let ((v (vector-ref node 0)))
    (if (= depth 0)
        v
        (if (eq? (vector-ref node 1) (vector-ref node 2))
            (+ v (* 2 (sum (vector-ref node 1) (- depth 1))))
            (+ v
               (sum (vector-ref node 1) (- depth 1))
               (sum (vector-ref node 2) (- depth 1)))))))

(define (part n)
  (let ((tree (vector-ref forest n)))
    (let loop ((i 0))
      (if (= i (* 400 size))
          (sum tree size)
          (begin (update tree size)
                 (loop (+ i 1)))))))
