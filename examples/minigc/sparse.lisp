; The best case for pages: a large old heap that is hardly ever written, while
; short-lived objects come and go. The old objects, 2^size vectors of 256 bytes, lie
; in pages that hold nothing else, so no young one is made beside them.

(define (power n) (if (= n 0) 1 (* 2 (power (- n 1)))))

(define heap
  (let ((v (make-vector (power size))))
    (let loop ((i 0) (last '()))
      (if (= i (power size))
          v
          (let ((next (make-vector 31 last)))
            (vector-set! v i next)
            (loop (+ i 1) next))))))

(define slots (make-vector parts))

(define (churn n)
  (let loop ((i 0) (last '()))
    (if (= i n)
        (car last)
        (loop (+ i 1) (list i i)))))

(define (part n)
  (let loop ((i 0) (sum 0))
    (if (= i 50)
        (+ sum (car (vector-ref slots n)))
        (begin
          (vector-set! slots n (list i))
          (vector-set! (vector-ref heap (random (power size))) n (list i))
          (loop (+ i 1) (+ sum (churn (* 100 size))))))))
